import io
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
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


@pytest.mark.parametrize("is_terminal", [True, False])
def test_end_users_give_no_orders_to_the_terminal(capsys, is_terminal):
    evil = Line(begins=None, by={"team": "\x1b]0;x\x07\x9b"}, **dict.fromkeys(COUNTS, 1))
    out = io.StringIO()
    show(report_of(evil), Console(file=out, force_terminal=is_terminal, width=200, color_system=None))
    text = out.getvalue() + capsys.readouterr().out
    assert "\ufffd]0;x\ufffd\ufffd" in text
    assert not {"\x07", "\x9b"} & set(text)
    assert "\x1b]" not in text


def test_a_terminal_gets_a_table_with_totals_and_the_note(capsys):
    out = io.StringIO()
    show(report_of(LINE, note="why"), Console(file=out, force_terminal=True, width=200))
    text = out.getvalue()
    assert "[search]" in text
    assert "1,234,567" in text
    assert "all" in text.splitlines()[-1]
    assert capsys.readouterr().err == "why\n"


def test_costs_and_days_are_whole_at_80_columns_and_what_is_not_in_them_is_said(capsys):
    query = replace(QUERY, bucket="day", by=("team", "model"))
    dear = replace(
        LINE,
        begins=datetime(2026, 11, 24, tzinfo=UTC),
        by={"team": "search", "model": "anthropic/claude-sonnet-4-5-20250929-v1:0"},
        cost_nusd=123_456_789_123_456,
    )
    out = io.StringIO()
    found = Report(query=query, lines=(dear,), totals=replace(dear, by={}, begins=None))
    show(found, Console(file=out, force_terminal=True, width=80, color_system=None))
    text = out.getvalue()
    assert text.count("123,456.789123456") == 2
    assert "2026-11-24 " in text
    assert "T00:00" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert capsys.readouterr().err.splitlines() == [
        "attempts without a known price, which are in no cost: 1,234,567",
        "attempts that were cut off, at the cost of what is known of them: 1,234,567",
    ]


def test_hours_have_their_time(capsys):
    query = replace(QUERY, bucket="hour", time_zone="Europe/Berlin")
    line = replace(LINE, begins=datetime(2026, 11, 24, 12, tzinfo=UTC))
    out = io.StringIO()
    show(Report(query=query, lines=(line,), totals=NOTHING), Console(file=out, force_terminal=True, width=200))
    assert "2026-11-24 13:00 " in out.getvalue()
