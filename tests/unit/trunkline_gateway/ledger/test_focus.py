"""Against what FOCUS 1.2 wants of a dataset of costs and usage: columns, their types, nulls and allowed values."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from trunkline_gateway.ledger.focus import FOCUS_BY, FOCUS_COLUMNS, focus_query, focus_rows
from trunkline_gateway.ledger.questions import LINES_MAX, Query
from trunkline_gateway.ledger.report import COUNTS, Line

MANDATORY = {
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
}
"""The columns whose feature level is Mandatory in version 1.2, as public exporters for it list them."""
MAY_BE_NULL = {"BillingAccountName", "ChargeClass", "ChargeDescription", "Tags", "x_PriceVersion"}
NUMBERS = [name for name in FOCUS_COLUMNS if name.endswith(("Cost", "Quantity"))]
MOMENTS = [name for name in FOCUS_COLUMNS if re.search("(Period)(Start|End)$", name)]
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "ServiceCategory": {"AI and Machine Learning"},
    "ServiceSubcategory": {
        "AI Platforms",
        "Bots",
        "Generative AI",
        "Machine Learning",
        "Natural Language Processing",
        "Other (AI and Machine Learning)",
    },
}
DAY = datetime(2026, 12, 31, tzinfo=UTC)


def line(begins=DAY, **more):
    by = {**dict.fromkeys(FOCUS_BY, "x"), "org": "acme", "team": "search", "provider": "openai", "price": "v1"}
    by |= {name: more.pop(name) for name in FOCUS_BY if name in more}
    counts = dict.fromkeys(COUNTS, 0) | {
        "attempts": 2,
        "uncached_input_tokens": 10,
        "output_tokens": 5,
        "audio_input_tokens": 3,
        "cost_nusd": 1_500_000_000,
    }
    return Line(begins=begins, by=by, **{**counts, **more})


@pytest.fixture
def row():
    (found,) = focus_rows([line()])
    return found


def test_every_mandatory_column_is_there_and_own_ones_are_named_as_such(row):
    assert set(FOCUS_COLUMNS) >= MANDATORY
    assert len(set(FOCUS_COLUMNS)) == len(FOCUS_COLUMNS)
    assert set(row) == set(FOCUS_COLUMNS)
    assert all(re.fullmatch("[A-Z][A-Za-z]*|x_[A-Z][A-Za-z]*", name) for name in FOCUS_COLUMNS)


def test_nothing_is_null_that_may_not_be(row):
    assert {name for name, value in row.items() if not value} <= MAY_BE_NULL


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_plain_decimals(row, name):
    assert re.fullmatch(r"-?\d+(\.\d+)?", row[name])
    assert Decimal(row[name]) in {Decimal("1.5"), Decimal(15)}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments_are_iso_8601_in_utc(row, name):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row[name])


@pytest.mark.parametrize("name", ALLOWED)
def test_values_are_allowed_ones(row, name):
    assert row[name] in ALLOWED[name]


def test_periods_are_whole_and_their_ends_exclusive(row):
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")


def test_who_pays_whom_for_what(row):
    assert (row["BillingAccountId"], row["SubAccountId"], row["ProviderName"]) == ("acme", "search", "openai")
    assert (row["BilledCost"], row["BillingCurrency"], row["x_PriceVersion"]) == ("1.5", "USD", "v1")
    assert (row["ConsumedQuantity"], row["ConsumedUnit"], row["x_AudioInputTokens"]) == ("15", "Tokens", "3")


def test_the_id_of_a_price_does_not_change_with_the_price():
    cheap, dear = focus_rows([line(price="v1"), line(price="")])
    assert cheap["SkuPriceId"] == dear["SkuPriceId"] == cheap["SkuId"]


def test_tags_are_an_object_with_prefixed_keys(row):
    assert json.loads(row["Tags"]) == {"trunkline/project": "x"}
    (without,) = focus_rows([line(project="")])
    assert json.loads(without["Tags"]) == {}


def test_what_only_the_cache_answered_is_no_row():
    assert list(focus_rows([line(attempts=0)])) == []


def test_its_query_is_by_day_of_utc_with_the_same_filters():
    query = Query(since=DAY, until=DAY, by=("tag",), time_zone="Europe/Berlin", where={"team": ("a",)}, limit=3)
    assert focus_query(query) == Query(
        since=DAY, until=DAY, by=FOCUS_BY, bucket="day", where={"team": ("a",)}, limit=LINES_MAX
    )
