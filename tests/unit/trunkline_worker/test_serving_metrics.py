"""The names that vLLM's dashboards read, and what stands behind them."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from trunkline_kit.clock import ManualClock
from trunkline_worker.generation import Delta, FinishReason, Timing, Usage
from trunkline_worker.load import EngineLoad, HitRatio
from trunkline_worker.metrics import worker_metrics
from trunkline_worker.serving_metrics import Objectives, pressure
from trunkline_worker.utilisation import Peaks, Utilisation

VLLM = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:num_preemptions_total",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:request_success_total",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:inter_token_latency_seconds_bucket",
    "vllm:e2e_request_latency_seconds_bucket",
    "vllm:request_queue_time_seconds_bucket",
    "vllm:request_prefill_time_seconds_bucket",
    "vllm:request_decode_time_seconds_bucket",
    "vllm:request_prompt_tokens_bucket",
    "vllm:request_generation_tokens_bucket",
}


def delta(tokens: int, finish: FinishReason | None = None, index: int = 0) -> Delta:
    usage = Usage(prompt_tokens=10, completion_tokens=4)
    timing = Timing(queue_ms=100, prefill_ms=200, decode_ms=300) if finish else None
    return Delta(request_id="a", index=index, usage=usage, token_ids=(1,) * tokens, finish=finish, timing=timing)


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def serving(registry):
    return worker_metrics(registry, ManualClock()).serving


def request(serving, *, first_s: float, token_s: float, finish=FinishReason.STOP) -> None:
    meter = serving.begin("m", 100.0)
    for step in range(4):
        meter.took(delta(1), 100.0 + first_s + step * token_s)
    meter.ended(delta(0, finish), 100.0 + first_s + 3 * token_s)


def test_vllms_names_are_there(registry, serving):
    request(serving, first_s=0.5, token_s=0.1)
    load = EngineLoad(running=1, waiting=2, kv_usage=0.5, hits=HitRatio(100, 40))
    with worker_metrics(registry, ManualClock()).watching("m", lambda: load):
        page = generate_latest(registry).decode()
        names = {line.partition("{")[0] for line in page.splitlines() if not line.startswith("#")}
        assert names >= VLLM
        value = registry.get_sample_value
        assert value("vllm:num_requests_waiting", {"model_name": "m"}) == 2
        assert value("vllm:prefix_cache_hits_total", {"model_name": "m"}) == 40
        assert value("vllm:request_success_total", {"model_name": "m", "finished_reason": "stop"}) == 1
        assert value("vllm:time_to_first_token_seconds_sum", {"model_name": "m"}) == 0.5
        assert value("vllm:inter_token_latency_seconds_count", {"model_name": "m"}) == 3
        assert value("vllm:inter_token_latency_seconds_sum", {"model_name": "m"}) == pytest.approx(0.3)
        assert value("vllm:e2e_request_latency_seconds_sum", {"model_name": "m"}) == pytest.approx(0.8)
        assert value("vllm:request_queue_time_seconds_sum", {"model_name": "m"}) == 0.1


def test_goodput_is_what_kept_both_objectives(registry, serving):
    serving.expect("m", Objectives(first_token_s=1.0, token_s=0.2), None)
    for first_s, token_s in ((0.9, 0.1), (1.1, 0.1), (0.9, 0.3)):
        request(serving, first_s=first_s, token_s=token_s)
    request(serving, first_s=9.0, token_s=9.0, finish=FinishReason.ABORTED)
    value = registry.get_sample_value
    assert value("trunkline_worker_goodput_requests_total", {"model": "m", "objectives": "kept"}) == 1
    assert value("trunkline_worker_goodput_requests_total", {"model": "m", "objectives": "missed"}) == 2


def test_each_answer_is_timed_for_itself(registry, serving):
    meter = serving.begin("m", 0.0)
    for step in range(3):
        for index in range(2):
            meter.took(delta(1, index=index), 1.0 + step + index / 2)
    value = registry.get_sample_value
    assert value("vllm:time_to_first_token_seconds_count", {"model_name": "m"}) == 1
    assert value("vllm:inter_token_latency_seconds_sum", {"model_name": "m"}) == 4.0


def test_errors_and_hang_ups_are_counted(registry, serving):
    serving.failed("m", Usage(prompt_tokens=1, completion_tokens=2))
    serving.left("m", Usage(prompt_tokens=1, completion_tokens=2))
    value = registry.get_sample_value
    assert value("vllm:request_success_total", {"model_name": "m", "finished_reason": "error"}) == 1
    assert value("vllm:request_success_total", {"model_name": "m", "finished_reason": "abort"}) == 1
    assert value("vllm:generation_tokens_total", {"model_name": "m"}) == 4


def test_use_is_a_share_of_the_peaks(registry, serving):
    use = Utilisation(flops=7.0, moved_bytes=8.0, busy_s=9.0, flops_per_s=50.0, bytes_per_s=30.0)
    serving.expect("m", Objectives(), Peaks(flops_per_s=100.0, bytes_per_s=40.0))
    with worker_metrics(registry, ManualClock()).watching("m", lambda: EngineLoad(use=use)):
        value = registry.get_sample_value
        assert value("trunkline_worker_mfu_ratio", {"model": "m"}) == 0.5
        assert value("trunkline_worker_mbu_ratio", {"model": "m"}) == 0.75
        assert value("trunkline_worker_flops_total", {"model": "m"}) == 7
        assert value("trunkline_worker_busy_seconds_total", {"model": "m"}) == 9


def test_pressure_is_the_worst_of_three():
    objectives = Objectives(first_token_s=2.0)
    assert pressure(EngineLoad(max_running=4, waiting=6), objectives) == 1.5
    assert pressure(EngineLoad(max_running=4, kv_usage=0.4), objectives) == 0.5
    assert pressure(EngineLoad(max_running=4, waiting_tokens=900, prefill_tokens_per_s=300.0), objectives) == 1.5
    assert pressure(EngineLoad(), objectives) == 0
