"""What the sre service counts and measures about itself."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trunkline_sre.stores.memory import Added, Usage


class SreMetrics:
    """Label values are reasons of ours: a closed set."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._spans = Counter("trunkline_sre_spans", "Spans received and kept.", registry=registry)
        self._refused = Counter(
            "trunkline_sre_refused_spans", "Spans received and not kept, by reason.", ("reason",), registry=registry
        )
        self._dropped = Counter(
            "trunkline_sre_dropped_traces", "Traces dropped as a whole to make room.", registry=registry
        )

    def received(self, added: Added, invalid: int) -> None:
        self._spans.inc(added.kept)
        self._refused.labels("trace-full").inc(added.refused)
        self._refused.labels("invalid-id").inc(invalid)
        self.dropped(added.dropped_traces)

    def dropped(self, traces: int) -> None:
        self._dropped.inc(traces)


class StoreCollector(Collector):
    """Reads the store when it is scraped."""

    def __init__(self, usage: Callable[[], Usage]) -> None:
        self._usage = usage

    def collect(self) -> Iterator[Metric]:
        now = self._usage()
        yield GaugeMetricFamily("trunkline_sre_kept_traces", "Traces held.", now.traces)
        yield GaugeMetricFamily("trunkline_sre_kept_spans", "Spans held.", now.spans)
        yield GaugeMetricFamily("trunkline_sre_kept_bytes", "Bytes held, bookkeeping included.", now.size_bytes)
