import csv
import io
import json
from datetime import UTC, datetime

import pytest

from trunkline_gateway.ledger.exports import csv_text, exported, focus_text, json_text, stamp, written_csv
from trunkline_gateway.ledger.focus import FOCUS_BY, FOCUS_COLUMNS
from trunkline_gateway.ledger.questions import Query
from trunkline_gateway.ledger.report import COUNTS, NOTHING, Line, Report
from trunkline_kit.errors import InvalidRequest

DAY = datetime(2026, 11, 24, tzinfo=UTC)
NEXT = datetime(2026, 12, 1, tzinfo=UTC)
BY_DAY = Query(since=DAY, until=NEXT, by=("team",), bucket="day")


def line(by, begins=DAY, **more):
    counts = dict.fromkeys(COUNTS, 0) | {
        "attempts": 2,
        "uncached_input_tokens": 10,
        "output_tokens": 5,
        "cost_nusd": 1_500_000_000,
    }
    return Line(begins=begins, by=by, **{**counts, **more})


def report_of(*lines, query=BY_DAY, **more):
    return Report(query=query, lines=lines, totals=NOTHING, **more)


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_every_count_and_exact_money():
    (row,) = read(csv_text(report_of(line({"team": "search"}))))
    assert (row["begins"], row["team"], row["cost_usd"]) == ("2026-11-24T00:00:00Z", "search", "1.5")
    assert row["uncached_input_tokens"] == "10"
    assert "cost_nusd" not in row


@pytest.mark.parametrize("name", ['=HYPERLINK("x")', "+1+1", "-x", "@sum", "\tx", "\nx", "\uff1d1+1"])
def test_names_cannot_be_formulas(name):
    query = Query(since=DAY, until=NEXT, by=("team",))
    (row,) = read(csv_text(report_of(line({"team": name}, None), query=query)))
    assert row["team"] == f"'{name}"
    assert row["cost_usd"] == "1.5"


def test_numbers_below_zero_stay_numbers():
    assert written_csv(["a"], [["-1.5"], ["--1"]]) == "a\r\n-1.5\r\n'--1\r\n"


def test_json_has_no_character_that_a_terminal_obeys_and_means_the_same():
    text = json_text(report_of(line({"team": "\x9b2J\x1b[2J\x7f"})))
    assert not {"\x9b", "\x1b", "\x7f"} & set(text)
    assert json.loads(text)["data"][0]["team"] == "\x9b2J\x1b[2J\x7f"


def test_json_is_a_list_with_its_totals():
    text = json_text(report_of(line({"team": "search"}, estimated_nusd=1), next="abc", note="why"))
    found = json.loads(text)
    (one,) = found["data"]
    assert (one["team"], one["cost_usd"], one["cost_nusd"]) == ("search", "1.5", 1_500_000_000)
    assert (one["begins"], one["estimated_usd"]) == ("2026-11-24T00:00:00Z", "0.000000001")
    assert (found["object"], found["totals"]["cost_usd"], found["next"], found["note"]) == ("list", "0", "abc", "why")
    assert found["since"] == "2026-11-24T00:00:00Z"
    assert json.loads(json_text(report_of(line({"team": "search"}))))["next"] is None, "as in all lists"


def test_moments_are_told_in_the_zone_of_the_question():
    query = Query(since=DAY, until=NEXT, bucket="day", time_zone="America/New_York")
    assert stamp(DAY, query) == "2026-11-23T19:00:00-05:00"
    (row,) = read(csv_text(report_of(line({}), query=query)))
    assert row["begins"] == "2026-11-23T19:00:00-05:00"


def test_focus_is_csv_of_all_columns_and_of_attempts_only():
    by = dict.fromkeys(FOCUS_BY, "x")
    (row,) = read(focus_text(report_of(line(by), line(by, attempts=0))))
    assert tuple(row) == FOCUS_COLUMNS


async def test_formats_are_known():
    with pytest.raises(InvalidRequest, match="json, csv, focus"):
        await exported(None, BY_DAY, "xml")
