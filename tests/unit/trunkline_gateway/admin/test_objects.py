import re

import pytest

from trunkline_gateway.admin.objects import NOUNS, generated_id, make, object_routes
from trunkline_gateway.directory.checking import is_id
from trunkline_gateway.directory.objects import Actor, Kind
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.errors import InvalidRequest, StoreUnavailable
from trunkline_kit.tenants import KeySpec

ANN = Actor(id="ann", request_id="r")


@pytest.mark.parametrize("team", ["search", "Team A/B", "ü", "", "-", "x" * 200, "a.b:c"])
def test_ids_are_made_out_of_whatever_the_team_is_called(team):
    made = generated_id(Kind.KEY, KeySpec(team=team))
    assert is_id(made), made
    assert re.fullmatch(r"[a-z0-9-]+-[2-9a-z]{8}", made)
    assert made != generated_id(Kind.KEY, KeySpec(team=team))


def test_of_a_price_they_say_what_it_is():
    assert generated_id(Kind.PRICE, PriceOverride(provider="up", team="search")).startswith("price-")


def test_every_kind_has_its_five_routes(registry_of):
    assert {noun.kind for noun in NOUNS} == set(Kind)
    routes = [(route.operation.method, route.operation.path) for route in object_routes(registry_of({}))]
    assert len(routes) == 5 * len(NOUNS)
    assert ("PATCH", "/teams/{id}") in routes
    ids = {route.operation.id for route in object_routes(registry_of({}))}
    assert "listModelBounds" in ids
    assert "listModels" not in ids, "that is what a key may ask for, under /v1"


async def test_making_checks_the_body_first(registry_of):
    with pytest.raises(InvalidRequest) as caught:
        await make(registry_of({}), Kind.TEAM, b'{"id":"t","weight":0}', ANN)
    assert caught.value.param == "weight"
    with pytest.raises(StoreUnavailable):
        await make(registry_of({}), Kind.TEAM, b'{"id":"t"}', ANN)
