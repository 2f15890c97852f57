"""Who shares answers with whom. What is asked of the services: the integration tests."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.analysis import tenant_of
from trunkline_gateway.auth import Principal
from trunkline_kit.settings import CacheScope

NAMES = st.text(st.sampled_from("a/%:\u00e9"), max_size=4)


def tenant(org, team, scope=CacheScope.TEAM):
    return tenant_of(Principal(key_id="k", org=org, team=team), scope)


@given(NAMES, NAMES, NAMES, NAMES)
def test_no_two_teams_are_one_tenant(org, team, other_org, other_team):
    assert (tenant(org, team) == tenant(other_org, other_team)) == ((org, team) == (other_org, other_team))


def test_tenants_are_readable():
    assert tenant("acme", "search") == "team:acme/search"
    assert tenant("a/b", "c") == "team:a%2Fb/c"
    assert tenant("acme", "search", CacheScope.KEY) == "key:k"
