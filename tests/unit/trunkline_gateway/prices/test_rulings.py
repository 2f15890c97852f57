from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.directory.objects import Item, Kind
from trunkline_gateway.prices.rulings import (
    declared_rulings,
    idle_rulings,
    in_order,
    price_of,
    stored_rulings,
    team_rulings,
)
from trunkline_kit.accounts import PriceOverride, Prices
from trunkline_kit.tenants import Team

DAY = datetime(2026, 11, 24, tzinfo=UTC)


def item(name, days, **spec):
    at = DAY + timedelta(days=days)
    return Item(
        kind=Kind.PRICE, id=name, spec=PriceOverride(provider="up", **spec), version=1, created_at=at, updated_at=at
    )


def test_the_last_made_holds_before_the_first_made():
    items = [item("b", 1), item("a", 3), item("c", 2), Item(kind=Kind.TEAM, id="t", spec=Team(), version=1)]
    assert [one.source for one in stored_rulings(items)] == ["directory/a", "directory/c", "directory/b"]


def test_the_file_keeps_its_order():
    prices = Prices(overrides=(PriceOverride(provider="b"), PriceOverride(provider="a", team="search")))
    assert [(one.provider, one.team, one.source) for one in declared_rulings(prices)] == [
        ("b", "", "config"),
        ("a", "search", "config"),
    ]


@pytest.mark.parametrize(
    ("glob", "place", "fits"),
    [
        ("*", ("up", "m"), True),
        ("gpt-*", ("up", "gpt-4"), True),
        ("gpt-*", ("up", "GPT-4"), False),
        ("*", ("other", "m"), False),
    ],
)
def test_globs_are_over_models_of_one_provider(glob, place, fits):
    (ruling,) = stored_rulings([item("a", 0, model=glob)])
    assert ruling.fits(place) is fits


def test_each_team_has_the_first_that_is_its_own():
    rulings = stored_rulings(
        [
            item("old", 0, team="search"),
            item("new", 1, team="search"),
            item("ads", 2, team="ads", model="other"),
            item("all", 3),
        ]
    )
    assert [one.source for one in team_rulings(rulings, ("up", "m"))] == ["directory/new"]


def test_versions_say_who_for_whom_and_what():
    cheap, dear = stored_rulings([item("a", 1, team="search", input_usd=1), item("b", 0, input_usd=2)])
    assert cheap.version_for(("up", "m")).startswith("directory/a/team=search/up/m#")
    assert dear.version_for(("up", "m")).startswith("directory/b/up/m#")
    (other,) = stored_rulings([item("a", 1, team="search", input_usd=3)])
    assert other.version_for(("up", "m")) != cheap.version_for(("up", "m"))


def test_every_amount_of_an_override_gets_into_its_price():
    """So that nobody adds a field that does nothing."""
    amounts = [name for name in PriceOverride.__struct_fields__ if name.endswith("_usd")]
    plain = price_of(PriceOverride(provider="up"))
    for name in amounts:
        assert price_of(PriceOverride(provider="up", **{name: 3.5})) != plain, name
    shared = price_of(PriceOverride(provider="up", gpu_second_usd=1, gpu_requests=8))
    assert (shared.gpu_second_nusd, shared.gpu_requests) == (1_000_000_000, 8)


def test_an_optional_amount_of_zero_is_free_and_none_is_its_wider_class():
    assert price_of(PriceOverride(provider="up", audio_input_usd=0)).rates.audio_input == 0
    assert price_of(PriceOverride(provider="up")).rates.audio_input is None


def test_an_override_that_never_holds_is_found_and_told_why():
    rulings = stored_rulings(
        [
            item("a", 9, model="m*"),
            item("b", 8, model="m[1]"),
            item("c", 7, team="search"),
            item("d", 6, model="other"),
            item("e", 5, model="*"),
        ]
    )
    idle = idle_rulings(rulings, [("up", "m1"), ("up", "n")])
    assert [(ruling.source, why[:10]) for ruling, why in idle] == [
        ("directory/b", "directory/"),
        ("directory/d", "no model u"),
    ]
    assert idle[0][1] == "directory/a holds wherever it fits"


def test_names_go_before_globs_and_long_beginnings_before_short_ones():
    stored = stored_rulings([item("any", 9), item("short", 8, model="gpt-*"), item("end", 7, model="*-mini")])
    names = ("*", "gpt-4o*", "gpt-4o-mini", "gpt-*", "*-mini")
    declared = declared_rulings(Prices(overrides=tuple(PriceOverride(provider="up", model=name) for name in names)))
    assert [one.place for one in in_order(stored, declared)] == [
        "prices.overrides[2]",
        "prices.overrides[1]",
        "directory/short",
        "prices.overrides[3]",
        "directory/end",
        "prices.overrides[4]",
        "directory/any",
        "prices.overrides[0]",
    ]


@given(
    st.permutations(["gpt-4o", "gpt-4*", "gpt-?o", "g*", "*"]), st.sampled_from(["gpt-4o", "gpt-4", "gpt-5o", "g", "x"])
)
def test_which_override_holds_does_not_depend_on_where_it_stands(order, model):
    """Where no two are equally close."""
    ranked = ["gpt-4o", "gpt-4*", "gpt-?o", "g*", "*"]
    found = in_order(
        (), declared_rulings(Prices(overrides=tuple(PriceOverride(provider="up", model=o) for o in order)))
    )
    fitting = [one.model for one in found if one.fits(("up", model))]
    assert fitting == [name for name in ranked if name in fitting]


def test_of_equally_close_ones_the_last_made_holds_then_the_files_first():
    stored = stored_rulings([item("old", 1, model="m"), item("new", 2, model="m")])
    declared = declared_rulings(Prices(overrides=(PriceOverride(provider="up", model="m"),) * 2))
    assert [one.place for one in in_order(stored, declared)] == [
        "directory/new",
        "directory/old",
        "prices.overrides[0]",
        "prices.overrides[1]",
    ]
