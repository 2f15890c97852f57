"""Numbers, spans and the log line of one request."""

import logging

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, SpanContext
from prometheus_client import CollectorRegistry

from trunkline_gateway.auth import Principal
from trunkline_gateway.plan import Target
from trunkline_gateway.surface import Surface
from trunkline_gateway.telemetry import Meters, describe, log_turn, trace_id_of
from trunkline_gateway.turn import Tried, Turn
from trunkline_gateway.usage import CompletionDetails, PromptDetails, Usage


def turn(**facts):
    usage = Usage(
        prompt_tokens=10,
        completion_tokens=4,
        prompt_tokens_details=PromptDetails(6),
        completion_tokens_details=CompletionDetails(1),
    )
    base = {
        "surface": Surface.CHAT,
        "principal": Principal(key_id="k", team="t"),
        "request_id": "r",
        "traceparent": "",
        "started_s": 0.0,
        "target": Target("m", "up", "x"),
        "usage": usage,
        "outcome": "ok",
        "status": 200,
    }
    return Turn(**{**base, **facts})


def test_a_request_is_counted_once_in_everything():
    registry = CollectorRegistry()
    Meters(registry).settle(turn(stream=True, first_token_s=0.02), 0.3)
    value = registry.get_sample_value
    assert value("trunkline_gateway_requests_total", {"surface": "chat", "outcome": "ok", "status": "2xx"}) == 1
    assert value("trunkline_gateway_time_to_first_token_seconds_count", {"surface": "chat"}) == 1
    assert value("trunkline_gateway_request_duration_seconds_sum", {"surface": "chat", "stream": "true"}) == 0.3
    counts = {
        name: value("trunkline_gateway_tokens_total", {"provider": "up", "class": name})
        for name in ("input", "output", "cached", "reasoning")
    }
    assert counts == {"input": 10, "output": 4, "cached": 6, "reasoning": 1}


def test_a_cached_answer_used_no_tokens():
    registry = CollectorRegistry()
    Meters(registry).settle(turn(cache="hit", outcome="cached"), 0.1)
    assert registry.get_sample_value("trunkline_gateway_tokens_total", {"provider": "up", "class": "input"}) is None


def test_a_span_says_what_is_known():
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("s")
    describe(span, turn(outcome="broken", cache="miss"))
    assert span.attributes["gen_ai.usage.input_tokens"] == 10
    assert span.attributes["trunkline.cache"] == "miss"
    assert span.attributes["error.type"] == "broken"
    assert not span.status.is_ok
    span.end()


def test_the_line_has_ids_and_counts_and_is_louder_for_trouble(caplog):
    with caplog.at_level(logging.INFO):
        log_turn(turn(), 0.0123)
        log_turn(turn(outcome="broken"), 1)
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    first = caplog.records[0]
    assert (first.request_id, first.key_id, first.provider, first.took_ms) == ("r", "k", "up", 12.3)


def test_headers_name_only_what_is_known():
    answered = Tried(target=Target("m", "up", "x"), started_s=0.0, resends=1)
    assert dict(turn(tried=[answered], cache="miss").headers()) == {
        "x-trunkline-model": "m",
        "x-trunkline-provider": "up",
        "x-trunkline-attempts": "2",
        "x-trunkline-cache": "miss",
    }
    assert turn(target=None).headers() == []


def test_a_trace_has_its_id_and_no_trace_has_none():
    assert trace_id_of(NonRecordingSpan(SpanContext(trace_id=0xAB, span_id=1, is_remote=False))) == f"{0xAB:032x}"
    assert not trace_id_of(INVALID_SPAN)
