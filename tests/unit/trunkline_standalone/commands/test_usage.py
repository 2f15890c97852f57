import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from trunkline_gateway.ledger.questions import LINES_MAX, Query
from trunkline_gateway.ledger.report import COUNTS, NOTHING, Line, Report
from trunkline_kit.errors import InvalidRequest
from trunkline_standalone.commands.usage import UsageOptions, asked_by, run_usage, show

NOW = datetime(2026, 11, 24, tzinfo=UTC)
QUERY = Query(since=datetime(2026, 11, 1, tzinfo=UTC), until=NOW, by=("team",))
LINE = Line(begins=None, by={"team": "[search]"}, **dict.fromkeys(COUNTS, 1_234_567))


def options(tmp_path, **more):
    return UsageOptions(home=tmp_path, **more)


def test_options_become_a_query(tmp_path):
    found = asked_by(
        options(
            tmp_path, by="team, model", since="1d", where=("team=a", "team=b", "project="), time_zone="Europe/Berlin"
        ),
        NOW,
    )
    assert (found.by, found.bucket, (found.until - found.since).days) == (("team", "model"), None, 1)
    assert (found.where, found.time_zone) == ({"team": ("a", "b"), "project": ("",)}, "Europe/Berlin")


@pytest.mark.parametrize(
    ("more", "limit"),
    [({}, 1000), ({"form": "csv"}, LINES_MAX), ({"form": "json"}, LINES_MAX), ({"form": "json", "limit": 5}, 5)],
)
def test_files_have_all_lines_unless_told_otherwise(tmp_path, more, limit):
    assert asked_by(options(tmp_path, **more), NOW).limit == limit


@pytest.mark.parametrize(
    "wrong", [{"by": "teem"}, {"bucket": "minute"}, {"since": "soon"}, {"where": ("team",)}, {"where": ("teem=x",)}]
)
def test_what_cannot_be_asked_is_said(tmp_path, wrong):
    with pytest.raises(InvalidRequest):
        asked_by(options(tmp_path, **wrong), NOW)


def test_formats_are_known(tmp_path):
    with pytest.raises(InvalidRequest, match="table, json, csv, focus"):
        run_usage(options(tmp_path, form="xml"), {})


def report_of(*lines, **more):
    return Report(query=QUERY, lines=lines, totals=NOTHING, **more)


def test_a_pipe_gets_tabs_and_no_totals(capsys):
    show(report_of(LINE, next="abc", note="why"), Console(file=io.StringIO()))
    told = capsys.readouterr()
    header, line = told.out.splitlines()
    assert header.split("\t")[0] == "team"
    assert (line.split("\t")[0], line.split("\t")[-1]) == ("[search]", "0.001234567")
    assert told.err == "there are more lines: --after abc\n"


def test_a_terminal_gets_a_table_with_totals_and_the_note(capsys):
    out = io.StringIO()
    show(report_of(LINE, note="why"), Console(file=out, force_terminal=True, width=200))
    text = out.getvalue()
    assert "[search]" in text
    assert "1,234,567" in text
    assert "all" in text.splitlines()[-1]
    assert capsys.readouterr().err == "why\n"
