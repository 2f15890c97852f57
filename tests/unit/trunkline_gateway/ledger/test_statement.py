from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trunkline_gateway.ledger.questions import Query
from trunkline_gateway.ledger.report import NOTHING, Line, Report
from trunkline_gateway.ledger.sheets import Usd, html, markdown, sheet_csv
from trunkline_gateway.ledger.statement import added, month_of, savings, sheet_of, statement_of
from trunkline_kit.errors import InvalidRequest

LATER = datetime(2026, 12, 2, tzinfo=UTC)
MONTH = month_of("2026-11", "UTC")
QUERY = Query(since=MONTH.begins, until=MONTH.ends)


def line(begins=None, **by_and_counts):
    by = {name: value for name, value in by_and_counts.items() if isinstance(value, str)}
    counts = {name: value for name, value in by_and_counts.items() if not isinstance(value, str)}
    return replace(NOTHING, begins=begins, by=by, **counts)


def report_of(*lines, totals=NOTHING):
    return Report(query=QUERY, lines=lines, totals=totals)


def made(now=LATER, **split):
    totals = line(requests=3, attempts=4, failed_attempts=1, cost_nusd=3_000_000_000, estimated_nusd=1_000_000_000)
    splits = {name: report_of() for name in ("model", "key", "project", "tag", "outcome", "price", "asked")}
    days = report_of(line(MONTH.begins, cost_nusd=3_000_000_000), totals=split.pop("totals", totals))
    return statement_of("search", MONTH, now, days, {**splits, **split})


@pytest.mark.parametrize(
    ("text", "zone", "begins", "ends"),
    [
        ("2026-11", "UTC", datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        ("2026-12", "UTC", datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-10", "Europe/Berlin", datetime(2026, 9, 30, 22, tzinfo=UTC), datetime(2026, 10, 31, 23, tzinfo=UTC)),
    ],
)
def test_months_are_those_of_the_zone(text, zone, begins, ends):
    month = month_of(text, zone)
    assert (month.begins, month.ends) == (begins, ends)


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "2026-00", "11-2026", "November", "0001-01", "2026-1-1"])
def test_what_is_no_month_is_refused(text):
    with pytest.raises(InvalidRequest, match="2026-11"):
        month_of(text, "UTC")


@given(st.integers(1971, 2100), st.integers(1, 12), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))
def test_months_follow_each_other_without_a_gap(year, month, zone):
    this = month_of(f"{year:04d}-{month:02d}", zone)
    following = month_of(f"{year + month // 12:04d}-{month % 12 + 1:02d}", zone)
    assert this.begins < this.ends == following.begins


def test_saved_dollars_are_at_what_the_models_tokens_cost_on_average():
    lines = [
        line(asked="m", attempts=2, uncached_input_tokens=90, output_tokens=10, cost_nusd=1_000, saved_tokens=50),
        line(asked="never", cached_answers=1, saved_tokens=7),
        line(asked="unpriced", attempts=1, unpriced_attempts=1, output_tokens=5, saved_tokens=3),
    ]
    assert savings(lines) == (500, 10)


COUNTED = st.builds(
    Line,
    begins=st.none(),
    by=st.just({}),
    **{name: st.integers(0, 10**12) for name in Line.__struct_fields__ if name not in {"begins", "by"}},
)


@given(st.lists(COUNTED, max_size=5), st.lists(COUNTED, max_size=5))
def test_lines_add_up_in_any_grouping(some, others):
    assert added([added(some), added(others)]) == added([*some, *others])


def test_it_says_what_it_is_of_and_whether_it_is_whole():
    assert sheet_of(made()).title == "Team search, November 2026"
    unfinished = made(now=datetime(2026, 11, 24, tzinfo=UTC))
    assert not unfinished.is_whole
    assert sheet_of(unfinished).title.endswith("so far")
    assert dict(sheet_of(unfinished).facts)["To"] == "2026-11-24 00:00 UTC"


def test_the_dearest_comes_first_and_the_many_are_put_together():
    models = report_of(*(line(model=f"m{n}", cost_nusd=n, requests=1) for n in range(60)))
    grid = next(grid for grid in sheet_of(made(model=models)).grids if grid.title == "Models")
    assert grid.rows[0][0] == "m59"
    assert grid.rows[-1][:2] == ("(10 others)", 10)
    cost = grid.header.index("cost")
    assert sum(row[cost].nusd for row in grid.rows) == sum(range(60))


def test_projects_and_tags_are_there_only_where_there_are_any():
    titles = [grid.title for grid in sheet_of(made(project=report_of(line(project="")))).grids]
    assert "Projects" not in titles
    found = sheet_of(made(tag=report_of(line(tag=""), line(tag="eu"))))
    grid = next(grid for grid in found.grids if grid.title == "Tags")
    assert {row[0] for row in grid.rows} == {"eu", "(none)"}
    assert any("several tags" in note for note in found.notes)


def test_what_is_not_known_is_said():
    totals = line(attempts=5, unpriced_attempts=2, estimated_attempts=1, cached_answers=1)
    asked = report_of(line(asked="never", saved_tokens=7))
    notes = " ".join(sheet_of(made(totals=totals, asked=asked)).notes)
    for part in ("nobody knows the price: 2.", "did not say what they used: 1.", "their model: 7."):
        assert part in notes


def test_facts_have_cost_failures_and_estimates():
    facts = dict(sheet_of(made()).facts)
    assert facts["Cost"] == Usd(3_000_000_000)
    assert facts["Of them failed, at cost 0"] == 1
    assert (facts["Estimated share of cost"].part, facts["Estimated share of cost"].whole) == (10**9, 3 * 10**9)


def test_a_team_that_used_nothing_has_a_statement_in_every_form():
    sheet = sheet_of(made(totals=NOTHING))
    assert "$0.00" in markdown(sheet)
    assert "$0.00" in html(sheet)
    assert "Summary,Cost,value,0" in sheet_csv(sheet)
