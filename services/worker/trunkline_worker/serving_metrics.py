"""vLLM's metric names over our engine, so that its dashboards and llm-d's balancer work; and what nobody else exports.

Names and meanings: vLLM, "Production Metrics" (read 2026-11-24). Ours: goodput (requests that kept the objectives),
MFU and MBU (see `utilisation`), pressure (one figure to scale by).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct
from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from trunkline_worker.generation import Delta, FinishReason, Usage
from trunkline_worker.load import EngineLoad
from trunkline_worker.utilisation import Peaks

_FIRST_TOKEN_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
_TOKEN_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_REQUEST_S = (0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
_KV_FULL = 0.8
"""KV usage at which a replica counts as full; llm-d's threshold."""

_FINISHED = {
    FinishReason.STOP: "stop",
    FinishReason.TOOL_CALLS: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.ABORTED: "abort",
}


class Objectives(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request must keep to count as goodput, and what a worker is scaled to keep."""

    first_token_s: float = 2.0
    token_s: float = 0.2
    """Mean time between an answer's tokens."""


class RequestMeter:
    """Times of one request, as its caller sees them."""

    def __init__(self, metrics: ServingMetrics, model: str, now_s: float) -> None:
        self._metrics = metrics
        self._model = model
        self._begun_s = now_s
        self._first_s: float | None = None
        self._last_s: dict[int, float] = {}
        self._firsts: dict[int, tuple[float, int]] = {}

    def took(self, delta: Delta, now_s: float) -> None:
        """A step's delta goes out."""
        if not delta.token_ids:
            return
        if self._first_s is None:
            self._first_s = now_s
            self._metrics.first_token.labels(self._model).observe(now_s - self._begun_s)
        last_s = self._last_s.get(delta.index)
        if last_s is not None:
            # Several tokens of one step share its time.
            each_s = (now_s - last_s) / len(delta.token_ids)
            for _ in delta.token_ids:
                self._metrics.between_tokens.labels(self._model).observe(each_s)
        self._last_s[delta.index] = now_s
        begun_s, tokens = self._firsts.get(delta.index, (now_s, -1))
        self._firsts[delta.index] = (begun_s, tokens + len(delta.token_ids))

    def ended(self, last: Delta, now_s: float) -> None:
        """The last answer has its finish reason."""
        self._metrics.ended(self._model, last, now_s - self._begun_s)
        if last.finish in (FinishReason.ABORTED, None):
            return
        first_s = now_s if self._first_s is None else self._first_s
        means = [
            (self._last_s[index] - begun_s) / tokens for index, (begun_s, tokens) in self._firsts.items() if tokens > 0
        ]
        self._metrics.judged(self._model, first_s - self._begun_s, max(means, default=0.0))


class ServingMetrics:
    """Collected by the process's one worker collector."""

    def __init__(self) -> None:
        names = ["model_name"]
        self.first_token = _histogram("time_to_first_token_seconds", "Until the first token", _FIRST_TOKEN_S)
        self.between_tokens = _histogram("inter_token_latency_seconds", "Between two tokens of an answer", _TOKEN_S)
        self._whole = _histogram("e2e_request_latency_seconds", "Until the last token", _REQUEST_S)
        self._queue = _histogram("request_queue_time_seconds", "Waiting for a slot", _REQUEST_S)
        self._prefill = _histogram("request_prefill_time_seconds", "Reading the prompt", _REQUEST_S)
        self._decode = _histogram("request_decode_time_seconds", "After the first token", _REQUEST_S)
        self._prompt = _histogram("request_prompt_tokens", "Tokens of a prompt", _TOKENS)
        self._generated = _histogram("request_generation_tokens", "Tokens of all answers to a request", _TOKENS)
        text = "Requests that ended by themselves or were aborted"
        finished = [*names, "finished_reason"]
        self._success = Counter("vllm:request_success", text, finished, registry=None)
        self._prompt_tokens = Counter("vllm:prompt_tokens", "Prompt tokens", names, registry=None)
        self._answer_tokens = Counter("vllm:generation_tokens", "Generated tokens", names, registry=None)
        text = "Requests that were answered, by whether they kept the objectives of the configuration"
        self._goodput = Counter("trunkline_worker_goodput_requests", text, ["model", "objectives"], registry=None)
        self._objectives: dict[str, Objectives] = {}
        self._peaks: dict[str, Peaks] = {}

    def expect(self, model: str, objectives: Objectives, peaks: Peaks | None) -> None:
        """Say what this model's requests are held to, and what its machine can do if that is known."""
        self._objectives[model] = objectives
        if peaks is not None:
            self._peaks[model] = peaks

    def begin(self, model: str, now_s: float) -> RequestMeter:
        """A request comes in."""
        return RequestMeter(self, model, now_s)

    def ended(self, model: str, last: Delta, duration_s: float) -> None:
        """Count a request by its last delta."""
        if last.finish is not None:
            self._success.labels(model, _FINISHED.get(last.finish, "error")).inc()
        self._whole.labels(model).observe(duration_s)
        self.counted(model, last.usage)
        self._prompt.labels(model).observe(last.usage.prompt_tokens)
        self._generated.labels(model).observe(last.usage.made_tokens)
        if last.timing is not None:
            self._queue.labels(model).observe(last.timing.queue_ms / 1000)
            self._prefill.labels(model).observe(last.timing.prefill_ms / 1000)
            self._decode.labels(model).observe(last.timing.decode_ms / 1000)

    def left(self, model: str, usage: Usage) -> None:
        """Count a request whose caller went away."""
        self._success.labels(model, "abort").inc()
        self.counted(model, usage)

    def failed(self, model: str, usage: Usage) -> None:
        """Count a request that ended with an error."""
        self._success.labels(model, "error").inc()
        self.counted(model, usage)

    def counted(self, model: str, usage: Usage) -> None:
        self._prompt_tokens.labels(model).inc(usage.prompt_tokens)
        self._answer_tokens.labels(model).inc(usage.made_tokens)

    def judged(self, model: str, first_token_s: float, token_s: float) -> None:
        """Count an answered request as good or not."""
        objectives = self._objectives.get(model, Objectives())
        kept = first_token_s <= objectives.first_token_s and token_s <= objectives.token_s
        self._goodput.labels(model, "kept" if kept else "missed").inc()

    def collect(self, loads: Mapping[str, EngineLoad]) -> Iterator[Metric]:
        """Everything, with the gauges of those loads."""
        histograms = (self.first_token, self.between_tokens, self._whole, self._queue, self._prefill, self._decode)
        counters = (self._success, self._prompt_tokens, self._answer_tokens, self._goodput)
        for metric in (*histograms, self._prompt, self._generated, *counters):
            yield from metric.collect()
        yield from _load_metrics(loads)
        yield from self._use_metrics(loads)

    def _use_metrics(self, loads: Mapping[str, EngineLoad]) -> Iterator[Metric]:
        working = {model: load for model, load in loads.items() if model in self._peaks}

        def share(pick: Callable[[EngineLoad, Peaks], float]) -> dict[str, float]:
            return {model: pick(load, self._peaks[model]) for model, load in working.items()}

        mfu = share(lambda load, peaks: load.use.mfu(peaks))
        mbu = share(lambda load, peaks: load.use.mbu(peaks))
        yield _gauge("trunkline_worker_mfu_ratio", "Operations of the latest steps by the machine's peak", mfu)
        yield _gauge("trunkline_worker_mbu_ratio", "Memory moved by the latest steps by the machine's peak", mbu)
        yield _counter("trunkline_worker_flops", "Operations", share(lambda load, _: load.use.flops))
        yield _counter("trunkline_worker_moved_bytes", "Memory moved", share(lambda load, _: load.use.moved_bytes))
        yield _counter("trunkline_worker_busy_seconds", "In model runs", share(lambda load, _: load.use.busy_s))
        text = "Over 1 the model needs another replica: the largest of queue, KV memory and seconds of waiting prompts"
        scale = {model: pressure(load, self._objectives.get(model, Objectives())) for model, load in loads.items()}
        yield _gauge("trunkline_worker_pressure_ratio", text, scale)


def pressure(load: EngineLoad, objectives: Objectives) -> float:
    """How much of what a replica should bear it bears: more than 1 asks for another, for one autoscaler to go by."""
    reading_s = load.waiting_tokens / load.prefill_tokens_per_s if load.prefill_tokens_per_s else 0.0
    slots = max(1, load.max_running)
    return max(load.waiting / slots, load.kv_usage / _KV_FULL, reading_s / objectives.first_token_s)


def _load_metrics(loads: Mapping[str, EngineLoad]) -> Iterator[Metric]:
    def each(pick: Callable[[EngineLoad], float]) -> dict[str, float]:
        return {model: pick(load) for model, load in loads.items()}

    name = "model_name"
    yield _gauge("vllm:num_requests_running", "Answers in a slot", each(lambda load: load.running), name)
    yield _gauge("vllm:num_requests_waiting", "Answers in the queue", each(lambda load: load.waiting), name)
    yield _gauge("vllm:kv_cache_usage_perc", "Share of the slots in use, 0 to 1", each(lambda one: one.kv_usage), name)
    text = "Never: a slot holds the longest answer"
    yield _counter("vllm:num_preemptions", text, each(lambda _: 0.0), name)
    queried, found = each(lambda load: load.hits.queried_tokens), each(lambda load: load.hits.found_tokens)
    yield _counter("vllm:prefix_cache_queries", "Prompt tokens looked up in the prefix cache", queried, name)
    yield _counter("vllm:prefix_cache_hits", "Prompt tokens found in the prefix cache", found, name)
    drafts, draft_tokens = each(lambda load: load.drafted.drafts), each(lambda load: load.drafted.tokens)
    yield _counter("vllm:spec_decode_num_drafts", "Drafts verified", drafts, name)
    yield _counter("vllm:spec_decode_num_draft_tokens", "Tokens of those drafts", draft_tokens, name)
    accepted = each(lambda load: load.drafted.accepted)
    yield _counter("vllm:spec_decode_num_accepted_tokens", "Of those, what came true", accepted, name)
    text = "Share of the prefix cache's memory in use"
    yield _gauge("trunkline_worker_prefix_usage_ratio", text, each(lambda load: load.prefix_usage))


def _histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
    return Histogram(f"vllm:{name}", text, ["model_name"], buckets=buckets, registry=None)


def _gauge(name: str, text: str, values: Mapping[str, float], label: str = "model") -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for model, value in values.items():
        family.add_metric([model], value)
    return family


def _counter(name: str, text: str, values: Mapping[str, float], label: str = "model") -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for model, value in values.items():
        family.add_metric([model], value)
    return family
