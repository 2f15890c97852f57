"""What can be said of an object without the database."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from trunkline_gateway.directory.checking import check_draft, check_expiry, check_id, check_name, is_id, needs_beyond
from trunkline_gateway.directory.declared import Declared, declared_of
from trunkline_gateway.directory.needs import needs_of
from trunkline_gateway.directory.objects import Draft, Item, Kind
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.errors import Conflict, InvalidRequest
from trunkline_kit.tenants import KeySpec, Limit, Org, PerEndUser, Project, Tag, Team


def declared(**items):
    kinds = {Kind(kind): specs for kind, specs in items.items()}
    return Declared(
        items={
            kind: {name: Item(kind=kind, id=name, spec=spec, version=0) for name, spec in specs.items()}
            for kind, specs in kinds.items()
        },
        providers=frozenset({"up"}),
        policies=frozenset({"strict"}),
        models=frozenset({"m"}),
    )


@given(st.text(max_size=130))
def test_an_id_is_taken_or_refused_with_its_field(text):
    if is_id(text):
        check_id(text)
        assert text.isascii()
        assert text.isprintable()
        return
    with pytest.raises(InvalidRequest) as wrong:
        check_id(text)
    assert wrong.value.param == "id"
    assert len(wrong.value.message) < 2000


@pytest.mark.parametrize("text", ["a", "gpt-4o", "org/model:v1", "ann@example.com", "0" * 128])
def test_names_of_models_and_people_are_ids(text):
    assert is_id(text)


@pytest.mark.parametrize(
    ("kind", "object_id", "spec", "param"),
    [
        (Kind.TEAM, "t", Team(end_user=PerEndUser(limits=(Limit(),))), "end_user.limits[0]"),
        (Kind.KEY, "k", KeySpec(policy="lax"), "policy"),
        (Kind.PRICE, "p", PriceOverride(provider="down", input_usd=1), "provider"),
        (Kind.PRICE, "p", PriceOverride(provider="up"), "input_usd"),
        (Kind.PRICE, "p", PriceOverride(provider="up", cache_read_usd=1), "input_usd"),
        (Kind.KEY, "k", KeySpec(models=()), "models"),
        (Kind.KEY, "k", KeySpec(scopes=()), "scopes"),
        (Kind.TEAM, "t", Team(limits=(Limit(concurrent=1), Limit(concurrent=2))), "limits"),
        (Kind.KEY, "k", Org(), None),
    ],
)
def test_a_wrong_object_is_refused_with_its_field(kind, object_id, spec, param):
    with pytest.raises(InvalidRequest) as wrong:
        check_draft(Draft(kind=kind, id=object_id, spec=spec), declared())
    assert wrong.value.param == param


def test_what_was_so_before_is_not_held_against_a_change():
    """A key whose policy left the file must be disabled all the same."""
    lost = KeySpec(policy="gone", models=(), limits=(Limit(concurrent=1), Limit(concurrent=2)))
    disabled = structs.replace(lost, disabled=True)
    check_draft(Draft(kind=Kind.KEY, id="k", spec=disabled), declared(), lost)
    check_draft(Draft(kind=Kind.KEY, id="k", spec=KeySpec()), declared(), lost)
    price = PriceOverride(provider="gone", input_usd=1)
    check_draft(Draft(kind=Kind.PRICE, id="p", spec=structs.replace(price, input_usd=2)), declared(), price)
    for worse, param in (
        (structs.replace(lost, policy="away"), "policy"),
        (structs.replace(lost, scopes=()), "scopes"),
    ):
        with pytest.raises(InvalidRequest) as wrong:
            check_draft(Draft(kind=Kind.KEY, id="k", spec=worse), declared(), lost)
        assert wrong.value.param == param


def test_only_what_a_change_brings_is_needed():
    before = KeySpec(team="gone", project="lost")
    assert needs_beyond(declared(), structs.replace(before, disabled=True), before) == []
    assert [need.id for need in needs_beyond(declared(), structs.replace(before, team="new"), before)] == [
        "new",
        "lost",
    ]


@pytest.mark.parametrize("name", ["okta", "okta/root@x", "okta/"])
def test_a_key_cannot_have_the_name_of_an_issuers_tokens(name):
    issuers = Declared(issuers=frozenset({"okta"}))
    for kind in (Kind.KEY, Kind.TEAM):
        draft = Draft(kind=kind, id=name, spec=KeySpec() if kind is Kind.KEY else Team())
        if kind is Kind.TEAM:
            check_name(draft, issuers)
            continue
        with pytest.raises(Conflict) as refused:
            check_name(draft, issuers)
        assert refused.value.param == "id"
    check_name(Draft(kind=Kind.KEY, id="okta-2", spec=KeySpec()), issuers)


def test_a_model_that_is_new_here_must_be_configured():
    check_name(Draft(kind=Kind.MODEL, id="m", spec=Tag()), declared())
    with pytest.raises(InvalidRequest) as wrong:
        check_name(Draft(kind=Kind.MODEL, id="n", spec=Tag()), declared())
    assert wrong.value.param == "id"


def test_a_right_one_is_taken():
    for kind, object_id, spec in (
        (Kind.KEY, "k", KeySpec(policy="strict", limits=(Limit(tokens=5, per_s=1),), networks=("10.1.2.3/8", "::1"))),
        (Kind.PRICE, "p", PriceOverride(provider="up", output_usd=0)),
        (Kind.MODEL, "m", Tag(limits=(Limit(concurrent=2),))),
    ):
        check_draft(Draft(kind=kind, id=object_id, spec=spec), declared())


def test_a_key_that_has_expired_is_not_made():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    check_expiry(KeySpec(expires_at=moment), moment.timestamp() - 1)
    check_expiry(KeySpec(), moment.timestamp())
    check_expiry(Team(), moment.timestamp())
    with pytest.raises(InvalidRequest, match="not in the future"):
        check_expiry(KeySpec(expires_at=moment), moment.timestamp())


def test_what_the_file_has_need_not_be_stored():
    file = declared(team={"t": Team(org="acme")}, project={"p": Project(team="t")})
    assert needs_beyond(file, KeySpec(team="t", project="p")) == []
    assert needs_beyond(file, Team(org="acme")) == [], "an org of the file's teams need not be declared"
    assert needs_beyond(file, Org()) == []
    assert [need.id for need in needs_beyond(file, KeySpec(team="u", project="q"))] == ["u", "q"]
    assert [need.id for need in needs_beyond(file, Team(org="other"))] == ["other"]
    with pytest.raises(InvalidRequest, match="belongs to team 't', the key to 'default'"):
        needs_beyond(file, KeySpec(project="p"))


def test_what_is_needed_is_named_with_its_field():
    assert list(needs_of(KeySpec())) == list(needs_of(Team())) == list(needs_of(PriceOverride(provider="p"))) == []
    team, project = needs_of(KeySpec(team="t", project="p"))
    assert (team.missing().param, project.missing().param) == ("team", "project")
    assert "there is no team 't'; create it first" in team.missing().message
    assert next(iter(needs_of(PriceOverride(provider="p", team="x")))).id == "x"


def test_an_empty_file_declares_nothing():
    from trunkline_gateway.config import GatewayConfig

    nothing = declared_of(GatewayConfig())
    assert all(not items for items in nothing.items.values())
    assert nothing.of(Kind.KEY) == {}
    assert Declared().of(Kind.TEAM) == {}
