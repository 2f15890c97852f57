import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trunkline_kit import semconv
from trunkline_kit.tracing import Tracing
from trunkline_worker.generation import Delta, FinishReason, Timing, Usage
from trunkline_worker.spans import record_phases

LAST = Delta(
    request_id="a",
    usage=Usage(prompt_tokens=9, completion_tokens=4, cached_tokens=8),
    finish=FinishReason.STOP,
    timing=Timing(queue_ms=100, prefill_ms=200, decode_ms=300),
)


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider.get_tracer("test"))


def test_phases_follow_each_other_under_the_call(tracing, exporter):
    with tracing.span("call"):
        record_phases(tracing, LAST, 1000.0)
    *phases, call = exporter.get_finished_spans()
    assert [one.name for one in phases] == ["queue", "prefill", "decode"]
    assert all(one.parent.span_id == call.context.span_id for one in phases)
    assert [(one.end_time - one.start_time) / 1e6 for one in phases] == [100, 200, 300]
    assert (phases[0].end_time, phases[1].end_time) == (phases[1].start_time, phases[2].start_time)
    assert phases[2].end_time == 1000 * 10**9
    assert phases[1].attributes[semconv.TRUNKLINE_CACHED_TOKENS] == 8
    assert phases[2].attributes[semconv.GEN_AI_USAGE_OUTPUT_TOKENS] == 4


def test_without_a_call_that_is_recorded_there_are_none(tracing, exporter):
    record_phases(tracing, LAST, 1000.0)
    record_phases(Tracing(), LAST, 1000.0)
    assert exporter.get_finished_spans() == ()
