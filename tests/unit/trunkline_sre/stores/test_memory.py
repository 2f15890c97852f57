"""The trace store: what it keeps, and that its bounds hold whatever arrives."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline_sre.config import Bounds
from trunkline_sre.spans import TRACE_OVERHEAD_BYTES, Span, SpanId, TraceId, size_of
from trunkline_sre.stores.memory import TraceStore


def span(trace, number=1, start=0, name="s"):
    return Span(
        trace_id=TraceId(f"{trace:032x}"),
        span_id=SpanId(f"{number:016x}"),
        parent_id=None,
        name=name,
        service="gateway",
        started_ns=start,
        ended_ns=start + 1000,
        failed=False,
    )


def traces(store):
    return sorted(int(row.trace_id, 16) for row in store.summaries())


def test_spans_come_back_by_their_start():
    store = TraceStore(Bounds())
    added = store.add([span(1, 2, start=5), span(1, 1, start=9), span(2)])
    assert (added.kept, added.refused, added.dropped_traces) == (3, 0, 0)
    assert [item.started_ns for item in store.spans_of(TraceId(f"{1:032x}"))] == [5, 9]
    assert store.spans_of(TraceId("f" * 32)) == []
    assert traces(store) == [1, 2]


def test_a_span_sent_twice_is_one_span():
    store = TraceStore(Bounds())
    store.add([span(1, name="early")])
    store.add([span(1, name="late")])
    assert [item.name for item in store.spans_of(TraceId(f"{1:032x}"))] == ["late"]
    assert store.usage().spans == 1


def test_a_summary_follows_what_arrives_later():
    store = TraceStore(Bounds())
    store.add([span(1, 1, start=9)])
    assert store.summaries()[0].spans == 1
    store.add([span(1, 2, start=3)])
    assert (store.summaries()[0].spans, store.summaries()[0].started_ns) == (2, 3)


def test_the_trace_that_was_silent_longest_goes_as_a_whole():
    store = TraceStore(Bounds(traces_limit=2))
    store.add([span(1, 1), span(1, 2), span(2)])
    store.add([span(1, 3)])
    assert store.add([span(3)]).dropped_traces == 1
    assert traces(store) == [1, 3]
    assert store.usage().spans == 4


def test_a_trace_without_end_is_cut_and_counted():
    store = TraceStore(Bounds(trace_spans_limit=2))
    added = store.add([span(1, number) for number in range(1, 6)])
    assert (added.kept, added.refused) == (2, 3)
    assert store.add([span(1, 1, name="again")]).kept == 1


def test_smaller_bounds_take_effect_at_once():
    store = TraceStore(Bounds())
    store.add([span(number) for number in range(5)])
    assert store.resize(Bounds(traces_limit=2)) == 3
    assert traces(store) == [3, 4]


arrivals = st.lists(
    st.lists(
        st.builds(span, st.integers(0, 6), st.integers(1, 6), st.integers(0, 9), st.sampled_from(["a", "b" * 2000])),
        max_size=8,
    ),
    max_size=12,
)


@given(arrivals, st.integers(1, 4), st.integers(1, 4), st.integers(2000, 9000))
def test_the_bounds_hold_whatever_arrives(batches, traces_limit, spans_limit, memory_bytes):
    bounds = Bounds(traces_limit=traces_limit, trace_spans_limit=spans_limit, memory_limit_bytes=memory_bytes)
    store = TraceStore(bounds)
    for batch in batches:
        added = store.add(batch)
        assert added.kept + added.refused == len(batch)
        usage, rows = store.usage(), store.summaries()
        held = [store.spans_of(row.trace_id) for row in rows]
        assert usage.traces == len(rows) <= traces_limit
        assert usage.spans == sum(map(len, held)) == sum(row.spans for row in rows)
        assert all(1 <= len(spans) <= spans_limit for spans in held)
        counted = sum(TRACE_OVERHEAD_BYTES + sum(map(size_of, spans)) for spans in held)
        assert usage.size_bytes == counted <= memory_bytes
