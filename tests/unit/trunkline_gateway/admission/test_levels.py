"""Rules out of settings: keys, texts, calendars, one per counter."""

from zoneinfo import ZoneInfo

import pytest

from trunkline_gateway.admission.levels import Bounds, Calendar, Level, Measure, Shelf
from trunkline_gateway.admission.rulebook import Rulebook
from trunkline_gateway.auth import Principal
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.tenancy import Tenants, tenants_of
from trunkline_kit.config import decode
from trunkline_kit.identity import Oidc
from trunkline_kit.settings import Settings
from trunkline_kit.tenants import Budget, KeySpec, Limit, PerEndUser, Period, Tag, WhenStoreIsDown

DAY_MS = 86_400_000


def shelf(*limits, budgets=(), level=Level.KEY):
    return Shelf({"k": Bounds(limits, budgets)}, level)


def test_each_limit_is_a_rule_in_words():
    made = shelf(
        Limit(requests=600, per_s=60),
        Limit(tokens=10, per_s=0.5),
        Limit(concurrent=3),
        budgets=(Budget(amount_usd=12.5, period=Period.MONTH), Budget(amount_usd=9_000_000, period=Period.TOTAL)),
    ).rules("acme", "k")
    assert [(rule.measure, rule.limit, rule.text) for rule in made] == [
        (Measure.REQUESTS, 600, "600 requests per 60 s"),
        (Measure.TOKENS, 10, "10 tokens per 0.5 s"),
        (Measure.CONCURRENT, 3, "3 requests at once"),
        (Measure.BUDGET, 12_500_000_000, "12.5 USD per month"),
        (Measure.BUDGET, 9_000_000_000_000_000, "9000000 USD"),
    ]
    assert made[0].shape(0) == 3_000
    assert made[4].shape(0) == (0,)


def test_counters_of_one_org_share_a_slot_and_names_cannot_leave_it():
    odd = "a}:{b"
    made = Shelf({odd: Bounds((Limit(concurrent=1),))}, Level.TEAM).rules(odd, odd)
    assert made[0].key == "tl:{a%7D%3A%7Bb}:team:a%7D%3A%7Bb:concurrent"


def test_two_limits_on_one_counter_are_the_tighter_one():
    made = shelf(Limit(requests=9, per_s=60), Limit(requests=5, per_s=60), Limit(requests=7, per_s=60))
    assert [rule.limit for rule in made.rules("acme", "k")] == [5]


def test_end_users_count_apart_and_are_kept_as_hashes():
    made = shelf(Limit(concurrent=1), level=Level.TEAM)
    ada, bob = (made.rules_per_user("acme", "k", user)[0] for user in ("ada", "bob"))
    assert ada.key != bob.key
    assert "ada" not in ada.key
    assert (ada.level, ada.name) == (Level.END_USER, "ada")
    assert made.rules_per_user("acme", "k", "") == ()
    assert len(made.rules_per_user("acme", "k", "x" * 500)[0].name) == 64


def test_rules_are_made_once_and_forgotten_when_there_are_too_many():
    made = Shelf({"k": Bounds((Limit(concurrent=1),))}, Level.KEY, entries_max=10)
    assert made.rules("acme", "k") is made.rules("acme", "k")
    for number in range(100):
        made.rules_per_user("acme", "k", f"user-{number}")
    assert len(made._made) <= 10
    assert made.rules("acme", "nobody") == ()


def test_a_calendar_moves_on():
    calendar = Calendar("day", ZoneInfo("UTC"))
    first = calendar.boundaries_ms(5 * DAY_MS + 1)
    assert calendar.boundaries_ms(6 * DAY_MS - 1) is first
    assert calendar.boundaries_ms(6 * DAY_MS)[1] == 6 * DAY_MS
    assert calendar.boundaries_ms(5 * DAY_MS) == first


EACH = {"limits": [{"concurrent": 1}]}
TREE = {
    "providers": {"up": {"kind": "openai"}},
    "models": {"m": {"deployments": [{"provider": "up", "model": "x"}], **EACH}},
    "orgs": {"acme": EACH},
    "teams": {"t": {"org": "acme", **EACH, "end_user": EACH}},
    "projects": {"p": {"team": "t", **EACH, "end_user": EACH}},
    "keys": [
        {
            "id": "k",
            "secret": "env:K",
            "team": "t",
            "project": "p",
            **EACH,
            "end_user": EACH,
            "when_store_is_down": "open",
        }
    ],
}


def rulebook(tree):
    return Rulebook(tenants_of(GatewayConfig.from_settings(decode(tree, Settings))))


def test_a_caller_meets_every_level():
    book = rulebook(TREE)
    principal = Principal(key_id="k", team="t", org="acme", project="p")
    assert [rule.level for rule in book.of_caller(principal, "")] == [Level.ORG, Level.TEAM, Level.PROJECT, Level.KEY]
    with_user = book.of_caller(principal, "ada")
    assert [rule.level for rule in with_user[4:]] == [Level.END_USER] * 3
    assert len({rule.key for rule in with_user}) == 7
    assert book.when_down(principal) is WhenStoreIsDown.OPEN
    assert book.when_down(Principal(key_id="another")) is WhenStoreIsDown.LOCAL_SHARE


def test_a_models_counter_is_one_over_all_orgs():
    assert rulebook(TREE).of_model("m")[0].key == "tl:{*}:model:m:concurrent"


@pytest.mark.parametrize(
    ("tree", "limits", "budgets"),
    [
        ({}, False, False),
        ({"orgs": {"o": EACH}}, True, False),
        ({"teams": {"t": {"end_user": {"budgets": [{"amount_usd": 1, "period": "day"}]}}}}, True, True),
    ],
)
def test_a_rulebook_knows_whether_it_says_anything(tree, limits, budgets):
    book = rulebook(tree)
    assert (book.has_limits, book.has_budgets) == (limits, budgets)


def test_tags_count_apart_in_each_org_and_only_those_that_have_limits():
    book = Rulebook(Tenants(tags={"nightly": Tag(limits=(Limit(concurrent=1),)), "plain": Tag()}))
    here, there = (Principal(key_id="k", org=org) for org in ("acme", "other"))
    (rule,) = book.of_caller(here, "", ("plain", "nightly", "unknown"))
    assert (rule.level, rule.name, rule.key) == (Level.TAG, "nightly", "tl:{acme}:tag:nightly:concurrent")
    assert book.of_caller(there, "", ("nightly",))[0].key != rule.key
    assert book.of_caller(here, "") == ()


def test_an_issuer_of_tokens_counts_as_a_key_with_its_name():
    limit = (Limit(concurrent=1),)
    oidc = Oidc(
        issuer="https://id.example",
        audience=("a",),
        limits=limit,
        end_user=PerEndUser(limits=limit),
        when_store_is_down=WhenStoreIsDown.CLOSED,
    )
    book = Rulebook(Tenants(oidc={"corp": oidc}, keys={"k": KeySpec(limits=limit)}))
    caller = Principal(key_id="corp", subject="ada")
    assert [rule.level for rule in book.of_caller(caller, "ada")] == [Level.KEY, Level.END_USER]
    assert book.when_down(caller) is WhenStoreIsDown.CLOSED


def test_an_issuer_is_not_freed_by_a_key_of_its_name():
    """Neither of its bounds nor of what they do without a store; nor is it bound by the key's."""
    few, many = (Limit(requests=1, per_s=60),), (Limit(requests=10**9, per_s=60),)
    oidc = Oidc(
        issuer="https://id.example",
        audience=("a",),
        limits=few,
        end_user=PerEndUser(limits=few),
        when_store_is_down=WhenStoreIsDown.CLOSED,
    )
    key = KeySpec(limits=many, end_user=PerEndUser(limits=many), when_store_is_down=WhenStoreIsDown.OPEN)
    caller = Principal(key_id="corp", subject="ada")
    book = Rulebook(Tenants(oidc={"corp": oidc}, keys={"corp": key}))
    assert [rule.limit for rule in book.of_caller(caller, "ada")] == [1, 1]
    assert book.when_down(caller) is WhenStoreIsDown.CLOSED
    free = Oidc(issuer="https://id.example", audience=("a",))
    assert Rulebook(Tenants(oidc={"corp": free}, keys={"corp": key})).of_caller(caller, "ada") == ()


def test_rules_of_one_owner_are_those_of_their_requests():
    book = rulebook(TREE)
    for level, name in ((Level.ORG, "acme"), (Level.TEAM, "t"), (Level.PROJECT, "p"), (Level.KEY, "k")):
        (rule,) = book.of_owner(level, "acme", name)
        assert rule in book.of_caller(Principal(key_id="k", team="t", org="acme", project="p"), "")
    assert book.of_owner(Level.MODEL, "", "m") == book.of_model("m")
    assert book.of_owner(Level.END_USER, "acme", "ada") == ()


def test_many_keys_without_limits_cost_little():
    book = Rulebook(Tenants(keys={f"k{number}": KeySpec() for number in range(50_000)}))
    assert not book.has_limits
    assert not book._keys.bounds
