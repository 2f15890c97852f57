import csv
import io
import json
from datetime import UTC, datetime

from trunkline_gateway.ledger.exports import FOCUS_BY, FOCUS_COLUMNS, csv_text, focus_query, focus_text, json_text
from trunkline_gateway.ledger.report import Line, Query

DAY = datetime(2026, 11, 24, tzinfo=UTC)
NEXT = datetime(2026, 12, 1, tzinfo=UTC)


def line(by, **more):
    counts = {name: 0 for name in Line.__struct_fields__ if name not in {"begins", "by"}} | {
        "attempts": 2,
        "uncached_input_tokens": 10,
        "output_tokens": 5,
        "cost_nusd": 1_500_000_000,
    }
    return Line(begins=DAY, by=by, **{**counts, **more})


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def focus_by(**more):
    return {**dict.fromkeys(FOCUS_BY, "x"), **more}


def test_csv_has_every_count_and_exact_money():
    query = Query(since=DAY, until=NEXT, by=("team",), bucket="day")
    (row,) = read(csv_text([line({"team": "search"})], query))
    assert (row["begins"], row["team"], row["cost_usd"]) == ("2026-11-24T00:00:00Z", "search", "1.5")
    assert row["uncached_input_tokens"] == "10"


def test_names_cannot_be_formulas():
    query = Query(since=DAY, until=NEXT, by=("team",))
    (row,) = read(csv_text([line({"team": '=HYPERLINK("x")'})], query))
    assert row["team"].startswith("'=")
    assert row["cost_usd"] == "1.5"


def test_json_is_flat():
    (found,) = json.loads(json_text([line({"team": "search"})]))
    assert (found["team"], found["cost_usd"], found["cost_nusd"]) == ("search", "1.5", 1_500_000_000)


def test_focus_rows_have_every_column_and_whole_periods():
    (row,) = read(focus_text([line(focus_by(org="acme", team="search", provider="openai", price="v1"))]))
    assert tuple(row) == FOCUS_COLUMNS
    assert (row["BilledCost"], row["BillingCurrency"], row["ChargeCategory"]) == ("1.5", "USD", "Usage")
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
    assert (row["BillingAccountId"], row["SubAccountId"], row["SkuPriceId"]) == ("acme", "search", "v1")
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == ("15", "Tokens")


def test_focus_says_what_is_unpriced_and_leaves_out_what_only_the_cache_answered():
    lines = [line(focus_by(project="p"), unpriced_attempts=2), line(focus_by(), attempts=0)]
    (row,) = read(focus_text(lines))
    assert json.loads(row["Tags"]) == {"trunkline/project": "p", "trunkline/unpriced_attempts": "2"}


def test_the_focus_query_is_by_day():
    assert focus_query(DAY, NEXT) == Query(since=DAY, until=NEXT, by=FOCUS_BY, bucket="day")
