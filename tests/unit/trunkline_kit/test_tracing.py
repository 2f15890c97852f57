"""Trace contexts as text, spans with and without a tracer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from trunkline_kit.errors import RateLimited
from trunkline_kit.tracing import (
    TraceParent,
    Tracing,
    current_traceparent,
    format_traceparent,
    parse_traceparent,
    traceparent_of,
)

parents = st.builds(TraceParent, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
CALLER = TraceParent(0xA1, 0xB2, sampled=True)


@given(parents)
def test_what_is_written_can_be_read(parent):
    assert parse_traceparent(format_traceparent(parent)) == parent


@given(st.text(max_size=80))
def test_any_text_is_a_parent_or_none(text):
    parent = parse_traceparent(text)
    assert parent is None or parse_traceparent(format_traceparent(parent)) == parent


@given(parents, st.integers(1, 254), st.text("0123456789abcdef-", max_size=10))
def test_later_versions_are_read_by_what_we_know_of_them(parent, version, more):
    text = f"{version:02x}{format_traceparent(parent)[2:]}-{more}"
    assert parse_traceparent(text) == parent


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n",
    ],
)
def test_what_the_standard_calls_invalid(text):
    assert parse_traceparent(text) is None


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Tracing(provider.get_tracer("test"))


def test_spans_nest(tracing, spans):
    with tracing.span("outer"), tracing.span("inner", attributes={"n": 1}):
        pass
    inner, outer = spans.get_finished_spans()
    assert inner.parent.span_id == outer.context.span_id
    assert dict(inner.attributes) == {"n": 1}


def test_the_caller_is_the_parent_also_inside_another_span(tracing, spans):
    with tracing.span("unrelated"), tracing.server_span("/a.B/C", format_traceparent(CALLER)):
        pass
    served = spans.get_finished_spans()[0]
    assert (served.name, served.kind) == ("a.B/C", SpanKind.SERVER)
    assert (served.context.trace_id, served.parent.span_id) == (CALLER.trace_id, CALLER.span_id)


def test_an_error_marks_its_span_by_class_only(tracing, spans):
    with pytest.raises(RateLimited), tracing.span("failing"):
        raise RateLimited("key tl-1234567890 is over its limit")
    span = spans.get_finished_spans()[0]
    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.attributes) == {"error.type": "rate_limit_exceeded"}
    assert not span.events


def test_a_span_that_outlives_its_function(tracing, spans):
    span = tracing.start("long")
    assert current_traceparent() == ""
    with tracing.use(span), tracing.span("part"):
        assert current_traceparent() != ""
    assert [done.name for done in spans.get_finished_spans()] == ["part"]
    span.end()
    assert spans.get_finished_spans()[0].parent.span_id == span.get_span_context().span_id


def test_without_a_tracer_contexts_still_pass():
    tracing = Tracing()
    with tracing.span("nothing"):
        assert current_traceparent() == ""
    with tracing.span("nothing", parent=format_traceparent(CALLER)) as span:
        assert current_traceparent() == format_traceparent(CALLER)
        assert traceparent_of(span.get_span_context()) == format_traceparent(CALLER)
        with tracing.span("deeper"):
            assert current_traceparent() == format_traceparent(CALLER)
    assert current_traceparent() == ""
    tracing.start("by hand").end()


def test_nothing_is_registered_globally(tracing):
    with tracing.span("one"):
        pass
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
