import json
from datetime import UTC, datetime

import pytest

from trunkline_gateway.ledger.questions import Query
from trunkline_gateway.ledger.report import NOTHING, Report
from trunkline_gateway.ledger.statement import month_of, statement_of
from trunkline_kit.errors import InvalidRequest
from trunkline_standalone.commands.statement import StatementOptions, run_statement, told

MONTH = month_of("2026-11", "UTC")
SPLITS = ("model", "key", "project", "tag", "outcome", "price", "asked")


@pytest.fixture
def found():
    empty = Report(query=Query(since=MONTH.begins, until=MONTH.ends), lines=(), totals=NOTHING)
    return statement_of("search", MONTH, datetime(2026, 12, 2, tzinfo=UTC), empty, dict.fromkeys(SPLITS, empty))


@pytest.mark.parametrize(
    ("form", "begins"),
    [
        ("", "# Team search, November 2026"),
        ("markdown", "# Team search"),
        ("html", "<!doctype html>"),
        ("csv", "table,row,column,value"),
    ],
)
def test_formats(found, form, begins):
    assert told(found, form).startswith(begins)


def test_json_has_every_part_exactly(found):
    tree = json.loads(told(found, "json"))
    assert (tree["team"], tree["totals"]["cost_nusd"], tree["by_model"]) == ("search", 0, [])


@pytest.mark.parametrize("wrong", [{"form": "pdf"}, {"month": "November"}, {"time_zone": "Mars"}])
def test_what_cannot_be_asked_is_said_before_any_database_is(tmp_path, wrong):
    options = {"team": "search", "month": "2026-11", "home": tmp_path, **wrong}
    with pytest.raises(InvalidRequest):
        run_statement(StatementOptions(**options), {})


def test_a_month_that_has_not_begun_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="2999-01 has not begun"):
        run_statement(StatementOptions(team="search", month="2999-01", home=tmp_path), {})
