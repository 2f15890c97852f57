"""Laws of paging, also while rows arrive in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.errors import InvalidRequest
from trunkline_sre.pages import ROWS_DEFAULT, ROWS_MAX, TraceFilter, page_of
from trunkline_sre.spans import Summary, TraceId


def row(number, start=0, duration_ms=1.0, failed=False, services=("gateway",)):
    return Summary(
        trace_id=TraceId(f"{number:032x}"),
        root_name="chat",
        root_service="gateway",
        started_ns=start,
        duration_ms=duration_ms,
        spans=1,
        failed=failed,
        services=frozenset(services),
    )


ALL = TraceFilter()
tables = st.lists(
    st.builds(row, st.integers(0, 99), start=st.integers(0, 5)), max_size=30, unique_by=lambda item: item.trace_id
)


def read_all(rows, limit, *, between=()):
    """Every page to the end; `between` arrives after the first."""
    held, token, seen = list(rows), "", []
    while True:
        page = page_of(held, ALL, limit, token)
        seen.extend(page.rows)
        token = page.next_token
        if not token:
            return seen
        assert len(page.rows) == limit
        held = [*rows, *between]


@given(tables, st.integers(1, 7))
def test_pages_together_are_the_whole_list_latest_first(rows, limit):
    seen = read_all(rows, limit)
    assert sorted(seen, key=lambda item: item.trace_id) == sorted(rows, key=lambda item: item.trace_id)
    assert [item.started_ns for item in seen] == sorted((item.started_ns for item in rows), reverse=True)


@given(tables, st.integers(1, 7), st.lists(st.integers(100, 120), unique=True, max_size=5))
def test_newer_rows_in_between_neither_repeat_nor_hide_any(rows, limit, numbers):
    newer = [row(number, start=9) for number in numbers]
    assert read_all(rows, limit, between=newer) == read_all(rows, limit)


@given(tables, st.integers(1, 7))
def test_a_row_that_is_dropped_does_not_end_the_reading(rows, limit):
    first = page_of(rows, ALL, limit, "")
    rest = [item for item in rows if item not in first.rows]
    if first.next_token:
        assert page_of(rest, ALL, ROWS_MAX, first.next_token).rows == page_of(rest, ALL, ROWS_MAX, "").rows


def test_limits_have_a_default_and_a_bound():
    rows = [row(number) for number in range(ROWS_MAX + 1)]
    assert len(page_of(rows, ALL, 0, "").rows) == ROWS_DEFAULT
    assert len(page_of(rows, ALL, 10_000, "").rows) == ROWS_MAX
    with pytest.raises(InvalidRequest, match="limit is -1"):
        page_of(rows, ALL, -1, "")


@pytest.mark.parametrize("token", ["?", "abc", "AAAA", "eA==", "ünsinn", "LTEx"])
def test_a_token_that_is_not_ours_is_refused(token):
    with pytest.raises(InvalidRequest, match="page_token is not one of ours"):
        page_of([row(1)], ALL, 1, token)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ALL, [1, 2, 3]),
        (TraceFilter(min_duration_ms=5), [2, 3]),
        (TraceFilter(errors_only=True), [3]),
        (TraceFilter(service="cache"), [2]),
        (TraceFilter(service="cach"), []),
        (TraceFilter(min_duration_ms=5, service="cache", errors_only=True), []),
    ],
)
def test_filters_take_what_they_say(wanted, expected):
    rows = [row(1), row(2, duration_ms=5.0, services=("gateway", "cache")), row(3, duration_ms=9, failed=True)]
    assert [int(item.trace_id, 16) for item in page_of(rows, wanted, 10, "").rows] == expected
