import pytest

from trunkline_gateway.admin.bound_routes import bound_routes
from trunkline_gateway.admin.queries import BoundsPage, Window
from trunkline_gateway.admin.spending import Till
from trunkline_gateway.directory.objects import Kind
from trunkline_kit.errors import Conflict, InvalidRequest, RouteNotFound
from trunkline_kit.tenants import Limit, Team


@pytest.fixture
def does(registry_of, clock):
    registry = registry_of({Kind.TEAM: {"t": Team(limits=(Limit(concurrent=3),))}})
    return {route.operation.id: route.work for route in bound_routes(registry, Till(registry, None, clock))}


def call_with(call_of, parts, **more):
    import msgspec

    return msgspec.structs.replace(call_of("t", **more), path={"id": "t", **parts})


async def test_a_list_over_everybody(does, call_of):
    answer = await does["listLimits"](call_of(query=BoundsPage()))
    [row] = answer.body.data
    assert (row.level, row.owner, row.measure, row.concurrent, row.declared) == ("team", "t", "concurrent", 3, True)
    assert row.requests is row.tokens is row.per_s is None
    assert (await does["listBudgets"](call_of(query=BoundsPage()))).body.data == ()


def test_prices_have_no_limits(does):
    assert "setTeamLimit" in does
    assert not [name for name in does if "Price" in name]


async def test_the_body_limits_what_the_url_says(does, call_of):
    with pytest.raises(InvalidRequest) as caught:
        await does["setTeamLimit"](call_with(call_of, {"measure": "tokens"}, body=b'{"concurrent":1}'))
    assert caught.value.param == "tokens"
    with pytest.raises(RouteNotFound):
        await does["deleteTeamLimit"](call_with(call_of, {"measure": "money"}, query=Window()))
    with pytest.raises(RouteNotFound, match="day, week, month, total"):
        await does["setTeamBudget"](call_with(call_of, {"period": "year"}, body=b'{"amount_usd":1}'))


async def test_the_file_is_not_changed_from_here(does, call_of):
    with pytest.raises(Conflict):
        await does["setTeamLimit"](call_with(call_of, {"measure": "concurrent"}, body=b'{"concurrent":1}'))
    with pytest.raises(Conflict):
        await does["setTeamBudget"](call_with(call_of, {"period": "day"}, body=b'{"amount_usd":1}'))
