from prometheus_client import CollectorRegistry, generate_latest

from trunkline_kit.clock import ManualClock
from trunkline_worker.generation import Delta, FinishReason, Timing, Usage
from trunkline_worker.load import EngineLoad, TokenRate
from trunkline_worker.metrics import worker_metrics

USAGE = Usage(prompt_tokens=10, completion_tokens=4)
TIMING = Timing(queue_ms=1, prefill_ms=20, decode_ms=300)


def last(finish: FinishReason | None) -> Delta:
    return Delta(request_id="a", usage=USAGE, finish=finish, timing=TIMING if finish else None)


def test_what_is_counted():
    registry = CollectorRegistry()
    metrics = worker_metrics(registry, ManualClock())
    metrics.ended("m", last(FinishReason.LENGTH))
    metrics.ended("m", last(None))
    metrics.left("m", USAGE)
    metrics.read("e", "embedded", 7)
    metrics.failed("m", Usage(prompt_tokens=10, completion_tokens=0))
    value = registry.get_sample_value
    assert value("trunkline_worker_requests_total", {"model": "m", "finish": "length"}) == 1
    assert value("trunkline_worker_requests_total", {"model": "m", "finish": "disconnected"}) == 1
    assert value("trunkline_worker_requests_total", {"model": "m", "finish": "refused"}) == 1
    assert value("trunkline_worker_tokens_total", {"model": "m", "direction": "prompt"}) == 20
    assert value("trunkline_worker_tokens_total", {"model": "m", "direction": "completion"}) == 8
    assert value("trunkline_worker_tokens_total", {"model": "e", "direction": "prompt"}) == 7
    assert value("trunkline_worker_phase_seconds_sum", {"model": "m", "phase": "decode"}) == 0.3


def test_load_is_read_when_scraped_and_gone_with_its_worker():
    registry, clock = CollectorRegistry(), ManualClock()
    metrics = worker_metrics(registry, clock)
    load = EngineLoad(running=2, waiting=1, kv_usage=0.5, max_running=4, rate=TokenRate(100.0, clock.monotonic_s()))
    with metrics.watching("m", lambda: load):
        assert registry.get_sample_value("trunkline_worker_running", {"model": "m"}) == 2
        assert registry.get_sample_value("trunkline_worker_kv_usage_ratio", {"model": "m"}) == 0.5
        clock.advance(50)
        assert registry.get_sample_value("trunkline_worker_generation_tokens_per_second", {"model": "m"}) < 0.01
    assert registry.get_sample_value("trunkline_worker_running", {"model": "m"}) is None


def test_two_workers_of_one_process_share_a_registry():
    registry = CollectorRegistry()
    first = worker_metrics(registry, ManualClock())
    assert worker_metrics(registry, ManualClock()) is first
    first.read("a", "embedded", 1)
    page = generate_latest(registry).decode()
    assert page.count("# TYPE trunkline_worker_requests_total") == 1
