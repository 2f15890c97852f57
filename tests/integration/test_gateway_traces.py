"""One trace per request: the caller's context goes on to the provider, two spans say what happened."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trunkline_kit import semconv
from trunkline_kit.tracing import Tracing, parse_traceparent
from trunkline_testkit.upstream import error_reply

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
HEADERS = {"authorization": "Bearer tl-test-key", "traceparent": CALLER}


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
async def traced(open_harness, upstream, single, exporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield await open_harness(single(upstream), tracing=Tracing(provider.get_tracer("test")))
    provider.shutdown()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_request_and_its_attempts_are_spans_of_the_callers_trace(traced, upstream, exporter, stream):
    upstream.replies(error_reply(500))
    reply = await traced.post("/v1/chat/completions", {**ASK, "stream": stream}, headers=HEADERS)
    await reply.read()
    failed, attempt, request = exporter.get_finished_spans()
    caller = parse_traceparent(CALLER)
    assert {span.context.trace_id for span in (failed, attempt, request)} == {caller.trace_id}
    assert request.parent.span_id == caller.span_id
    assert attempt.parent.span_id == failed.parent.span_id == request.context.span_id
    assert failed.attributes[semconv.ERROR_TYPE] == "upstream_unavailable"
    assert request.name == "chat"
    assert attempt.name == "chat real-fake"
    assert request.attributes[semconv.GEN_AI_PROVIDER_NAME] == "up"
    assert request.attributes[semconv.GEN_AI_USAGE_OUTPUT_TOKENS] == 1
    sent = parse_traceparent(upstream.requests[1].headers["traceparent"])
    assert (sent.trace_id, sent.span_id) == (caller.trace_id, attempt.context.span_id)


async def test_without_tracing_the_callers_context_still_goes_on(harness, upstream):
    await harness.post("/v1/chat/completions", ASK, headers=HEADERS)
    assert upstream.requests[0].headers["traceparent"] == CALLER


async def test_content_is_in_no_span(traced, exporter):
    body = {"model": "fake", "messages": [{"role": "user", "content": "very-private"}]}
    await traced.post("/v1/chat/completions", body)
    assert all("very-private" not in str(span.to_json()) for span in exporter.get_finished_spans())
