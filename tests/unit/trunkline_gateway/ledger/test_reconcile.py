from datetime import UTC, date, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trunkline_gateway.ledger.invoices import Charge, Invoice
from trunkline_gateway.ledger.reconcile import (
    SHOWN_MAX,
    Tolerance,
    compared,
    grid_of,
    ours_of,
    reconcile,
    sheet_of,
)
from trunkline_gateway.ledger.report import NOTHING
from trunkline_gateway.ledger.sheets import Usd, grid_csv, markdown
from trunkline_kit.errors import InvalidRequest

DAY, NEXT = date(2026, 11, 24), date(2026, 11, 25)
TABLE = "genai-prices-0.2.3"
PRICE = f"{TABLE}/openai/gpt-4o-mini"
DOLLAR = 1_000_000_000


def line(day=DAY, model="gpt-4o-mini", price=PRICE, **counts):
    begins = datetime.combine(day, time(), UTC)
    return replace(NOTHING, begins=begins, by={"provider_model": model, "price": price}, **{"attempts": 1, **counts})


def invoice(charges, *, tokens=True, amounts=True, models=True):
    return Invoice(
        layout="test", charges=charges, rows=len(charges), has_tokens=tokens, has_amounts=amounts, has_models=models
    )


def result(charges, lines, tolerance=None, **shape):
    bill = invoice(charges, **shape)
    ours = ours_of(lines, has_models=bill.has_models)
    return compared(bill, "openai", ours, tolerance or Tolerance(), TABLE)


def only(found):
    (pair,) = found.pairs
    return pair


USED = {"uncached_input_tokens": 1000, "output_tokens": 500, "cost_nusd": DOLLAR}
BILLED = Charge(input_tokens=1000, output_tokens=500, cost_nusd=DOLLAR)


def test_equal_sums_agree_whatever_the_model_is_called():
    found = result({(DAY, "gpt-4o-mini"): BILLED}, [line(model="gpt-4o-mini-2024-07-18", **USED)])
    assert found.agrees
    assert only(found).reasons == ()
    assert not sheet_of(found).grids


@pytest.mark.parametrize(
    ("ours", "theirs", "agrees"),
    [(100, 100, True), (100, 101, True), (100, 102, False), (10_000, 10_099, True), (0, 1, False), (0, 0, True)],
)
def test_a_share_of_the_larger_may_differ(ours, theirs, agrees):
    assert Tolerance().allows(ours, theirs) is agrees
    assert Tolerance().allows(theirs, ours) is agrees


def test_a_cent_may_always_differ_in_money():
    charges = {(DAY, "m"): Charge(cost_nusd=10_000_000)}
    assert result(charges, [line(model="m")], tokens=False).agrees
    charges = {(DAY, "m"): Charge(cost_nusd=10_000_001)}
    assert not result(charges, [line(model="m")], tokens=False).agrees


def test_only_what_the_invoice_has_is_compared():
    charges = {(DAY, "m"): Charge(cost_nusd=DOLLAR)}
    assert result(charges, [line(model="m", **USED)], tokens=False).agrees
    charges = {(DAY, "m"): Charge(input_tokens=1000, output_tokens=500)}
    found = result(charges, [line(model="m", **USED)], amounts=False)
    assert found.agrees
    assert "only tokens" in sheet_of(found).notes[0]


def test_an_invoice_without_models_is_compared_by_day():
    charges = {(DAY, ""): Charge(input_tokens=2000, output_tokens=1000, cost_nusd=2 * DOLLAR)}
    assert result(charges, [line(model="a", **USED), line(model="b", **USED)], models=False).agrees


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ({"estimated_attempts": 3}, "3 of 9 attempts are estimated"),
        ({"cut_attempts": 2}, "2 of 9 attempts were cut off"),
        ({"failed_attempts": 1}, "1 of 9 attempts failed"),
        ({"unpriced_attempts": 9}, "9 of 9 attempts have no price"),
        ({"price": "genai-prices-0.1.0/openai/gpt-4o-mini"}, "priced by genai-prices-0.1.0, and the table is"),
        ({}, "other uses of the account"),
    ],
)
def test_likely_reasons_are_named(counts, why):
    found = result({(DAY, "gpt-4o-mini"): BILLED}, [line(attempts=9, output_tokens=100, **counts)])
    assert not found.agrees
    assert any(why in reason for reason in only(found).reasons)


def test_tokens_that_agree_where_money_does_not_are_a_matter_of_price():
    found = result({(DAY, "gpt-4o-mini"): BILLED}, [line(**{**USED, "cost_nusd": DOLLAR // 2})])
    assert only(found).reasons == (f"tokens agree, money does not: priced by {PRICE}",)
    two = [line(**USED), line(price="config/x#1", cost_nusd=DOLLAR)]
    assert any(
        "2 prices were in force" in reason for reason in only(result({(DAY, "gpt-4o-mini"): BILLED}, two)).reasons
    )


def test_what_one_side_does_not_have():
    found = result({(DAY, "a"): BILLED}, [line(model="b", **USED)])
    here, there = found.pairs
    assert "not in the ledger" in here.reasons[0]
    assert "not on the invoice" in there.reasons[0]
    assert (here.ours.line.attempts, there.theirs) == (0, Charge())


def test_requests_around_midnight_are_told_from_a_real_difference():
    charges = {(DAY, "m"): Charge(input_tokens=50), (NEXT, "m"): Charge(input_tokens=150)}
    lines = [line(DAY, "m", uncached_input_tokens=100), line(NEXT, "m", uncached_input_tokens=100)]
    found = result(charges, lines, amounts=False)
    assert [pair.agrees for pair in found.pairs] == [False, False]
    assert all("over all days this model agrees" in pair.reasons[-1] for pair in found.pairs)


def test_what_the_cache_answered_is_not_on_any_invoice():
    assert ours_of([line(attempts=0, cached_answers=5)], has_models=True) == {}


PLACES = st.dictionaries(
    st.tuples(st.sampled_from([DAY, NEXT]), st.sampled_from(["a", "b", "c"])),
    st.builds(
        Charge,
        input_tokens=st.integers(0, 10**9),
        output_tokens=st.integers(0, 10**9),
        cost_nusd=st.integers(0, 10**12),
    ),
)


def as_lines(places):
    return [
        line(
            day,
            model,
            uncached_input_tokens=charge.input_tokens,
            output_tokens=charge.output_tokens,
            cost_nusd=charge.cost_nusd,
        )
        for (day, model), charge in places.items()
    ]


@given(PLACES)
def test_a_ledger_agrees_with_an_invoice_made_from_it(places):
    assert result(places, as_lines(places), Tolerance(share=0, cost_nusd=0)).agrees


@given(PLACES, PLACES)
def test_every_place_of_either_side_is_there_once_and_each_difference_has_a_reason(theirs, ours):
    found = result(theirs, as_lines(ours))
    assert [(pair.day, pair.model) for pair in found.pairs] == sorted(theirs.keys() | ours.keys())
    assert all(bool(pair.reasons) is not pair.agrees for pair in found.pairs)
    assert found.agrees is all(pair.agrees for pair in found.pairs)
    assert markdown(sheet_of(found))


def test_people_see_differences_first_and_files_see_all():
    charges = {(DAY, f"m{n}"): BILLED for n in range(SHOWN_MAX + 5)}
    found = result(charges, [])
    sheet = sheet_of(found)
    assert len(sheet.grids[0].rows) == SHOWN_MAX
    assert "5 more differ" in sheet.notes[-1]
    assert grid_csv(grid_of(found, found.pairs)).count("\r\n") == 1 + SHOWN_MAX + 5
    assert dict(sheet.facts)["Cost on the invoice"] == Usd((SHOWN_MAX + 5) * DOLLAR)


def test_blocks_have_each_difference_with_what_is_behind_it():
    found = result({(DAY, "a"): BILLED, (NEXT, ""): BILLED}, [line(**USED)], tokens=False)
    blocks = sheet_of(found, in_blocks=True).grids
    assert [block.title for block in blocks] == [f"{DAY} a", f"{DAY} gpt-4o-mini", f"{NEXT} (all models)"]
    assert blocks[0].rows == (("cost", Usd(DOLLAR), Usd(0), Usd(-DOLLAR)),)
    assert "not in the ledger" in blocks[0].notes[0]
    whole = result({(DAY, "a"): BILLED}, [])
    assert [row[0] for row in sheet_of(whole, in_blocks=True).grids[0].rows] == [
        "input tokens",
        "output tokens",
        "cost",
    ]
    assert not sheet_of(result({(DAY, "gpt-4o-mini"): BILLED}, [line(**USED)]), in_blocks=True).grids


def test_a_provider_that_the_ledger_does_not_know_is_said():
    notes = sheet_of(result({(DAY, "m"): BILLED}, [])).notes
    assert any("nothing of openai" in note for note in notes)
    assert not sheet_of(result({(DAY, "gpt-4o-mini"): BILLED}, [line(**USED)])).notes


def test_columns_are_only_those_the_invoice_has():
    header = grid_of(result({(DAY, "m"): BILLED}, [], tokens=False), []).header
    assert header == ("day", "model", "USD invoice", "USD ledger", "USD difference", "likely why")


async def test_an_invoice_of_nothing_cannot_be_compared():
    with pytest.raises(InvalidRequest, match="nothing can be compared"):
        await reconcile(None, invoice({}), "openai", Tolerance(), TABLE)
