from datetime import UTC, datetime

from trunkline_gateway.admin.bounds import Bound
from trunkline_gateway.admin.spending import Till
from trunkline_gateway.admission.rulebook import Rulebook
from trunkline_gateway.auth import Principal
from trunkline_gateway.directory.objects import Item, Kind
from trunkline_gateway.tenancy import Tenants
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.tenants import Budget, KeySpec, Org, Period, Project, Tag, Team

MONTH = Budget(amount_usd=2, period=Period.MONTH, time_zone="Europe/Berlin")
TOTAL = Budget(amount_usd=3, period=Period.TOTAL)


class Spent:
    """Counters by their keys."""

    def __init__(self, nusd):
        self.nusd = nusd
        self.asked = []

    async def spent(self, rules):
        self.asked += [rule.key for rule in rules]
        return [(self.nusd, 5) for _ in rules]


class Away:
    async def spent(self, rules):
        raise StoreUnavailable("away")


def bound(kind, name, spec, terms, *, each=False):
    item = Item(kind=kind, id=name, spec=spec, version=1)
    return Bound(item=item, position=0, each_end_user=each, terms=terms)


SPECS = {
    Kind.ORG: {"acme": Org(budgets=(MONTH,))},
    Kind.TEAM: {"t": Team(org="acme", budgets=(TOTAL,))},
    Kind.PROJECT: {"p": Project(team="t", budgets=(TOTAL,))},
    Kind.KEY: {"k": KeySpec(team="t", project="p", budgets=(MONTH,), tags=("x",))},
    Kind.TAG: {"x": Tag(budgets=(TOTAL,))},
    Kind.MODEL: {"m": Tag(budgets=(TOTAL,))},
}


def all_bounds():
    return [bound(kind, name, spec, spec.budgets[0]) for kind, named in SPECS.items() for name, spec in named.items()]


async def test_the_counters_are_those_that_requests_meet(registry_of, clock):
    spent = Spent(0)
    rows = await Till(registry_of(SPECS), spent, clock).rows(all_bounds(), "acme")
    tenants = Tenants(
        orgs=SPECS[Kind.ORG],
        teams=SPECS[Kind.TEAM],
        projects=SPECS[Kind.PROJECT],
        keys=SPECS[Kind.KEY],
        tags=SPECS[Kind.TAG],
        models=SPECS[Kind.MODEL],
    )
    caller = Principal(key_id="k", team="t", org="acme", project="p", tags=("x",))
    book = Rulebook(tenants)
    met = [*book.of_caller(caller, "", ("x",)), *book.of_model("m")]
    assert sorted(spent.asked) == sorted(rule.key for rule in met)
    assert [row.org for row in rows] == ["acme", "acme", "acme", "acme", "acme", "*"]


async def test_what_is_left(registry_of, clock):
    rows = await Till(registry_of({}), Spent(500_000_000), clock).rows(all_bounds()[:2], "default")
    assert [(row.state, row.used_usd, row.remaining_usd) for row in rows] == [("known", 0.5, 1.5), ("known", 0.5, 2.5)]
    over = await Till(registry_of({}), Spent(5_000_000_000), clock).rows(all_bounds()[:1], "default")
    assert (over[0].used_usd, over[0].remaining_usd) == (5.0, 0.0)


async def test_a_period_ends_by_its_own_calendar(registry_of, clock):
    clock.advance(datetime(2026, 7, 15, tzinfo=UTC).timestamp() - clock.now_s())
    month, total = await Till(registry_of({}), Away(), clock).rows(all_bounds()[:2], "default")
    assert month.period_ends_at == datetime(2026, 7, 31, 22, tzinfo=UTC)
    assert total.period_ends_at is None
    assert {month.state, total.state} == {"unknown"}
    assert month.used_usd is None


async def test_end_users_have_one_each(registry_of, clock):
    spent = Spent(1)
    each = bound(Kind.TEAM, "t", Team(), MONTH, each=True)
    [row] = await Till(registry_of({}), spent, clock).rows([each], "default")
    assert (row.each_end_user, row.state, row.used_usd, spent.asked) == (True, "unknown", None, [])


async def test_who_has_no_team_here_is_of_the_default_org(registry_of, clock):
    key = bound(Kind.KEY, "k", KeySpec(team="gone"), TOTAL)
    [row] = await Till(registry_of({}), Spent(0), clock).rows([key], "other")
    assert row.org == "default"
    assert await Till(registry_of({}), Away(), clock).rows([], "default") == []
