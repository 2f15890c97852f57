import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline_gateway.admin import bounds
from trunkline_gateway.admin.bounds import budgets_of, cursor_of, limits_of, part_of
from trunkline_gateway.admin.queries import BoundsPage, Level
from trunkline_gateway.directory.objects import Kind
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.errors import InvalidRequest
from trunkline_kit.tenants import Budget, KeySpec, Limit, Org, PerEndUser, Period, Tag, Team

DAY = Budget(amount_usd=1, period=Period.DAY)


def limits(count):
    return tuple(Limit(concurrent=number + 1) for number in range(count))


def test_own_ones_go_before_those_of_end_users():
    team = Team(limits=limits(1), end_user=PerEndUser(limits=limits(2), budgets=(DAY,)))
    assert [each for each, _ in limits_of(team)] == [False, True, True]
    assert list(budgets_of(team)) == [(True, DAY)]
    assert list(limits_of(Org(limits=limits(1)))) == [(False, Limit(concurrent=1))]
    assert not [*limits_of(PriceOverride(provider="up")), *budgets_of(PriceOverride(provider="up"))]


async def all_pages(registry, limit, pick=limits_of, **more):
    found, after = [], ""
    while True:
        part = await part_of(registry, BoundsPage(limit=limit, after=after, **more), pick)
        assert len(part.bounds) <= limit
        found += part.bounds
        if part.next is None:
            return [(bound.item.kind, bound.item.id, bound.position) for bound in found]
        after = part.next


COUNTS = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 3), max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(COUNTS, COUNTS, COUNTS, st.integers(1, 6))
async def test_pages_put_together_are_everything_in_order(registry_of, teams, keys, tags, limit):
    registry = registry_of(
        {
            Kind.TEAM: {name: Team(limits=limits(count)) for name, count in teams.items()},
            Kind.KEY: {name: KeySpec(limits=limits(count)) for name, count in keys.items()},
            Kind.TAG: {name: Tag(limits=limits(count)) for name, count in tags.items()},
        }
    )
    expected = [
        (kind, name, position)
        for kind, named in ((Kind.TEAM, teams), (Kind.KEY, keys), (Kind.TAG, tags))
        for name in sorted(named)
        for position in range(named[name])
    ]
    assert await all_pages(registry, limit) == expected
    assert await all_pages(registry, limit, level=Level.KEY) == [row for row in expected if row[0] is Kind.KEY]
    for name in keys:
        mine = [row for row in expected if row[:2] == (Kind.KEY, name)]
        assert await all_pages(registry, limit, level=Level.KEY, owner=name) == mine


async def test_a_page_looks_at_so_many_owners_and_no_more(registry_of, monkeypatch):
    monkeypatch.setattr(bounds, "OWNERS_MAX", 2)
    monkeypatch.setattr(bounds, "ITEMS_PER_PAGE_MAX", 2)
    keys = {f"k{number}": KeySpec(limits=limits(number == 5)) for number in range(7)}
    registry = registry_of({Kind.KEY: keys, Kind.TAG: {"t": Tag(limits=limits(1))}})
    first = await part_of(registry, BoundsPage(), limits_of)
    assert (first.bounds, first.next is not None) == ((), True)
    assert await all_pages(registry, 10) == [(Kind.KEY, "k5", 0), (Kind.TAG, "t", 0)]


async def test_who_is_gone_is_passed_over(registry_of):
    registry = registry_of({Kind.KEY: {"a": KeySpec(limits=limits(1)), "c": KeySpec(limits=limits(1))}})
    part = await part_of(registry, BoundsPage(after="key:0:b"), limits_of)
    assert [bound.item.id for bound in part.bounds] == ["c"]


@pytest.mark.parametrize("text", ["x", "key", "key:1", "key:1:", "key:-1:a", "price:1:a", "key:9999999999:a"])
def test_what_is_no_cursor(text):
    with pytest.raises(InvalidRequest) as caught:
        cursor_of(text)
    assert caught.value.param == "after"


def test_ids_with_colons_are_found_again():
    assert cursor_of("tag:3:a:b/c").id == "a:b/c"
    assert cursor_of("") is None
