from trunkline_kit.settings import Listen, Route, Rule, Settings, When
from trunkline_router.config import RouterConfig, version_of, without_effect

ROUTES = {"auto": Route(rules=(Rule(when=When(intent=("code",)), to=("a",)),), otherwise=("b",))}


def test_it_listens_where_the_file_says_or_where_it_is_told():
    settings = Settings(listen=Listen(grpc="127.0.0.1:7001"), routes=ROUTES)
    assert RouterConfig.from_settings(settings).listen == "127.0.0.1:7001"
    told = RouterConfig.from_settings(settings, listen="local:router")
    assert (told.listen, told.routes) == ("local:router", ROUTES)


def test_equal_routes_have_one_version_and_others_another():
    again = {"auto": Route(rules=(Rule(when=When(intent=("code",)), to=("a",)),), otherwise=("b",))}
    assert version_of(ROUTES) == version_of(again)
    assert version_of(ROUTES) != version_of({"auto": Route(otherwise=("b",))})
    assert version_of({"x": ROUTES["auto"], "y": ROUTES["auto"]}) == version_of(
        {"y": ROUTES["auto"], "x": ROUTES["auto"]}
    )


def test_what_has_no_effect_is_named_with_its_path():
    route = Route(
        classifier="general-v1",
        rules=(Rule(when=When(), to=("a",)), Rule(when=When(complexity_below=0.3), to=("a",))),
        otherwise=("b",),
    )
    lines = without_effect({"auto": route, "plain": Route(otherwise=("b",))})
    assert [line.split(":")[0] for line in lines] == ["routes.auto.classifier", "routes.auto.rules[1]"]
