"""The worker's Prometheus metrics. Labels are closed sets: finish reasons, phases, and the models of the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trunkline_kit.clock import Clock
from trunkline_worker.generation import Delta, Usage
from trunkline_worker.load import EngineLoad
from trunkline_worker.serving_metrics import ServingMetrics

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class WorkerMetrics(Collector):
    """What the workers of one process count, and how busy they are whenever that is read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loads: dict[str, Callable[[], EngineLoad]] = {}
        self.serving = ServingMetrics()
        names = ["model", "finish"]
        self._requests = Counter("trunkline_worker_requests", "Ended requests by reason", names, registry=None)
        names = ["model", "direction"]
        self._tokens = Counter("trunkline_worker_tokens", "Tokens by direction", names, registry=None)
        text, names = "Seconds a generation spent waiting, in prefill and in decode", ["model", "phase"]
        self._phases = Histogram("trunkline_worker_phase_seconds", text, names, buckets=_SECONDS, registry=None)

    def ended(self, model: str, delta: Delta) -> None:
        """Count a generation by its last delta."""
        if delta.finish is None or delta.timing is None:
            return
        self._requests.labels(model, delta.finish.value).inc()
        self._count(model, delta.usage)
        timing = delta.timing
        phases = (("queue", timing.queue_ms), ("prefill", timing.prefill_ms), ("decode", timing.decode_ms))
        for phase, duration_ms in phases:
            self._phases.labels(model, phase).observe(duration_ms / 1000)

    def left(self, model: str, usage: Usage) -> None:
        """Count a generation whose caller went away."""
        self._requests.labels(model, "disconnected").inc()
        self._count(model, usage)
        self.serving.left(model, usage)

    def failed(self, model: str, usage: Usage) -> None:
        """Count a generation that was refused, or ended with an error after it had begun."""
        self._requests.labels(model, "failed" if usage.completion_tokens else "refused").inc()
        if usage.completion_tokens:
            self._count(model, usage)
            self.serving.failed(model, usage)

    def read(self, model: str, finish: str, prompt_tokens: int) -> None:
        """Count a call that was answered at once: embedded, classified, reranked."""
        self._requests.labels(model, finish).inc()
        self._tokens.labels(model, "prompt").inc(prompt_tokens)

    @contextmanager
    def watching(self, model: str, load: Callable[[], EngineLoad]) -> Iterator[None]:
        """Show this model's load while the block runs."""
        self._loads[model] = load
        try:
            yield
        finally:
            del self._loads[model]

    def collect(self) -> list[Metric]:
        counted = [*self._requests.collect(), *self._tokens.collect(), *self._phases.collect()]
        loads = {model: load() for model, load in self._loads.items()}
        return [*counted, *self._gauges(loads), *self.serving.collect(loads)]

    def describe(self) -> list[Metric]:
        """Lets a registry refuse a second collector of these names."""
        return self.collect()

    def _gauges(self, loads: dict[str, EngineLoad]) -> list[Metric]:
        now_s = self._clock.monotonic_s()
        rate = "trunkline_worker_generation_tokens_per_second"
        kv_usage = "trunkline_worker_kv_usage_ratio"
        return [
            _gauge("trunkline_worker_running", "Requests in a slot", {m: load.running for m, load in loads.items()}),
            _gauge("trunkline_worker_waiting", "Requests in the queue", {m: load.waiting for m, load in loads.items()}),
            _gauge("trunkline_worker_slots", "Slots", {m: load.max_running for m, load in loads.items()}),
            _gauge(kv_usage, "Share of the slots in use", {m: load.kv_usage for m, load in loads.items()}),
            _gauge(rate, "Moving average", {m: load.rate.at(now_s) for m, load in loads.items()}),
        ]

    def _count(self, model: str, usage: Usage) -> None:
        self._tokens.labels(model, "prompt").inc(usage.prompt_tokens)
        self._tokens.labels(model, "completion").inc(usage.made_tokens)


def worker_metrics(registry: CollectorRegistry, clock: Clock) -> WorkerMetrics:
    """The registry's own; two workers in one process share it, since a name may be registered once."""
    for collector in registry._collector_to_names:  # noqa: SLF001 - there is no public way to ask what is registered
        if isinstance(collector, WorkerMetrics):
            return collector
    metrics = WorkerMetrics(clock)
    registry.register(metrics)
    return metrics


def _gauge(name: str, text: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["model"])
    for model, value in values.items():
        family.add_metric([model], value)
    return family
