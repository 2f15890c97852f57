"""Windows against a model that remembers every single event."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy import windows
from trunkline_policy.windows import CELLS, LEASE_CELL_MS

WIDTHS = st.sampled_from([1, 7, 50, 3000])
START_MS = 1_700_000_000_123


def arrivals(width):
    """Steps of time and counts; steps up to two windows."""
    step = st.one_of(st.integers(0, width), st.integers(0, 2 * width * CELLS))
    return st.lists(st.tuples(step, st.integers(1, 5)), max_size=60)


@given(st.data(), WIDTHS, st.integers(1, 12))
def test_no_window_ever_holds_more_than_the_limit(data, width, limit):
    now_ms, cells, admitted = START_MS, {}, []
    for step_ms, count in data.draw(arrivals(width)):
        now_ms += step_ms
        if windows.wait_ms(cells, now_ms, width, limit, count) == 0:
            cells = windows.added(cells, now_ms, width, count)
            admitted.append((now_ms, count))
    window_ms = width * CELLS
    for end_ms, _ in admitted:
        inside = sum(count for at_ms, count in admitted if end_ms - window_ms < at_ms <= end_ms)
        assert inside <= limit


@given(st.data(), WIDTHS, st.integers(1, 12))
def test_what_fits_the_window_and_one_cell_more_is_admitted(data, width, limit):
    now_ms, cells, admitted = START_MS, {}, []
    for step_ms, count in data.draw(arrivals(width)):
        now_ms += step_ms
        longest_ms = width * (CELLS + 1)
        inside = sum(seen for at_ms, seen in admitted if at_ms > now_ms - longest_ms)
        if windows.wait_ms(cells, now_ms, width, limit, count) == 0:
            cells = windows.added(cells, now_ms, width, count)
            admitted.append((now_ms, count))
        else:
            assert inside + count > limit


@given(st.data(), WIDTHS, st.integers(1, 12), st.integers(1, 12))
def test_after_the_wait_it_fits_and_not_a_moment_before(data, width, limit, count):
    now_ms, cells = START_MS, {}
    for step_ms, seen in data.draw(arrivals(width)):
        now_ms += step_ms
        cells = windows.added(cells, now_ms, width, seen)
    wait_ms = windows.wait_ms(cells, now_ms, width, limit, count)
    if count > limit:
        assert wait_ms is None
        return
    assert windows.wait_ms(cells, now_ms + wait_ms, width, limit, count) == 0
    if wait_ms > 0:
        assert windows.used(cells, now_ms + wait_ms - 1, width) + count > limit


@given(st.data(), WIDTHS)
def test_after_the_reset_nothing_counts(data, width):
    now_ms, cells = START_MS, {}
    for step_ms, seen in data.draw(arrivals(width)):
        now_ms += step_ms
        cells = windows.added(cells, now_ms, width, seen)
    reset_ms = windows.reset_ms(cells, now_ms, width)
    assert windows.used(cells, now_ms + reset_ms, width) == 0
    assert len(cells) <= CELLS + 1
    if cells:
        assert windows.used(cells, now_ms + reset_ms - 1, width) > 0


@given(WIDTHS, st.integers(0, 10), st.integers(0, 10), st.integers(0, 100_000))
def test_giving_back_restores_what_was_there_and_never_goes_below_nothing(width, before, back, later_ms):
    cells = windows.added({}, START_MS, width, before)
    now_ms = START_MS + later_ms
    after = windows.given_back(cells, START_MS, now_ms, width, back)
    assert windows.used(after, now_ms, width) == max(0, windows.used(cells, now_ms, width) - back)


def test_there_is_no_doubling_at_an_edge():
    width = windows.width_ms(60)
    edge_ms = START_MS // width * width + width
    cells = windows.added({}, edge_ms - 1, width, 100)
    assert windows.wait_ms(cells, edge_ms, width, 100, 1) > 59_000


def test_a_clock_that_was_set_back_far_frees_the_window():
    width = windows.width_ms(60)
    cells = windows.added({}, START_MS, width, 100)
    assert windows.used(cells, START_MS - 1000, width) == 100
    assert windows.used(cells, START_MS - 3_600_000, width) == 0


@given(st.floats(0.001, 1e6))
def test_a_window_is_never_shorter_than_asked_for(window_s):
    width = windows.width_ms(window_s)
    assert width * CELLS >= round(window_s * 1000)
    assert (width - 1) * CELLS < max(CELLS, round(window_s * 1000))


@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 60_000)), max_size=40), st.integers(0, 90_000))
def test_leases_hold_for_their_time_and_at_most_a_cell_more(leases, later_ms):
    cells = {}
    for after_ms, lease_ms in leases:
        cell = windows.lease_cell(START_MS + after_ms, lease_ms)
        cells[cell] = cells.get(cell, 0) + 1
    now_ms = START_MS + later_ms
    out = sum(windows.leased(cells, now_ms).values())
    ends = [START_MS + after_ms + lease_ms for after_ms, lease_ms in leases]
    assert out >= sum(end_ms > now_ms for end_ms in ends)
    assert out <= sum(end_ms + LEASE_CELL_MS >= now_ms for end_ms in ends)
