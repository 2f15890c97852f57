from hypothesis import given
from hypothesis import strategies as st

from trunkline_sre.spans import Span, SpanId, TraceId, root_of, size_of, summarise


def span(number, parent=None, start=0, length_ms=1.0, service="gateway", failed=False, **rest):
    return Span(
        trace_id=TraceId("a" * 32),
        span_id=SpanId(f"{number:016x}"),
        parent_id=None if parent is None else SpanId(f"{parent:016x}"),
        name=f"span-{number}",
        service=service,
        started_ns=start,
        ended_ns=start + round(length_ms * 1e6),
        failed=failed,
        **rest,
    )


def test_a_trace_is_summed_up_by_its_root():
    spans = [
        span(2, parent=1, start=5, length_ms=2, service="router", failed=True),
        span(1, start=0, length_ms=9.5),
        span(3, parent=2, start=6, service="cache"),
    ]
    summary = summarise(spans)
    assert (summary.root_name, summary.root_service, summary.duration_ms) == ("span-1", "gateway", 9.5)
    assert (summary.spans, summary.failed, summary.started_ns) == (3, True, 0)
    assert summary.services == {"gateway", "router", "cache"}


def test_under_a_caller_of_its_own_the_topmost_span_we_have_is_the_root():
    """The client's span is never sent to us, so nothing here is without a parent."""
    assert root_of([span(3, parent=2, start=1), span(2, parent=99, start=1)]).name == "span-2"


def test_of_two_tops_the_earlier_one_is_the_root():
    assert root_of([span(7, parent=50, start=9), span(8, start=3)]).name == "span-8"


def test_a_loop_still_has_a_root():
    assert root_of([span(1, parent=2, start=5), span(2, parent=1, start=4)]).name == "span-2"


def test_a_clock_that_stepped_back_makes_no_negative_duration():
    assert span(1, start=10**9, length_ms=-5).duration_ms == 0


trees = st.lists(
    st.builds(
        span,
        st.integers(1, 8),
        parent=st.none() | st.integers(1, 12),
        start=st.integers(0, 9),
        failed=st.booleans(),
        service=st.sampled_from(["a", "b"]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda item: item.span_id,
)


@given(trees, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(spans, rng):
    shuffled = list(spans)
    rng.shuffle(shuffled)
    assert summarise(shuffled) == summarise(spans)


def test_texts_and_attributes_count():
    plain, rich = span(1), span(1, attributes={"k": "vä"}, status_message="no")
    assert size_of(rich) - size_of(plain) > len("kno") + len("vä".encode())
