"""What the cache counts and measures."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trunkline_cache.config import Bounds
from trunkline_cache.entries import Statistics


class CacheMetrics:
    """Label values are the slugs of the contract: a closed set. Tenants are never labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lookups = Counter(
            "trunkline_cache_lookups",
            "Lookups, by mode and by how they ended.",
            ("mode", "result"),
            registry=registry,
        )
        self._stores = Counter(
            "trunkline_cache_stores", "Answers offered, by what became of them.", ("result",), registry=registry
        )
        self._invalidated = Counter(
            "trunkline_cache_invalidated_entries", "Entries removed on request.", registry=registry
        )
        self._feedback = Counter(
            "trunkline_cache_feedback", "Verdicts of callers on cached answers.", ("verdict",), registry=registry
        )

    def looked_up(self, mode: str, result: str) -> None:
        self._lookups.labels(mode, result).inc()

    def stored(self, result: str) -> None:
        self._stores.labels(result).inc()

    def invalidated(self, entries: int) -> None:
        self._invalidated.inc(entries)

    def judged(self, *, correct: bool) -> None:
        self._feedback.labels("correct" if correct else "wrong").inc()


class StoreCollector(Collector):
    """Reads the store when it is scraped: how full it is, against its bounds."""

    def __init__(self, bounds: Bounds, statistics: Callable[[], Statistics]) -> None:
        self._bounds = bounds
        self._statistics = statistics

    def collect(self) -> Iterator[Metric]:
        now = self._statistics()
        yield GaugeMetricFamily("trunkline_cache_entries", "Entries held.", now.entries)
        yield GaugeMetricFamily("trunkline_cache_entries_limit", "Entries held at most.", self._bounds.entries_limit)
        yield GaugeMetricFamily("trunkline_cache_size_bytes", "Bytes held, bookkeeping included.", now.size_bytes)
        limit_bytes = self._bounds.memory_limit_bytes
        yield GaugeMetricFamily("trunkline_cache_memory_limit_bytes", "Bytes held at most.", limit_bytes)
        yield CounterMetricFamily("trunkline_cache_evicted_entries", "Entries dropped for room.", now.evicted)
