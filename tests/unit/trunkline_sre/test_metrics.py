from prometheus_client import CollectorRegistry

from trunkline_sre.metrics import SreMetrics, StoreCollector
from trunkline_sre.stores.memory import Added, Usage


def test_what_arrives_and_what_goes_is_counted():
    registry = CollectorRegistry()
    metrics = SreMetrics(registry)
    metrics.received(Added(kept=5, refused=2, dropped_traces=1), invalid=3)
    value = registry.get_sample_value
    assert value("trunkline_sre_spans_total") == 5
    assert value("trunkline_sre_refused_spans_total", {"reason": "trace-full"}) == 2
    assert value("trunkline_sre_refused_spans_total", {"reason": "invalid-id"}) == 3
    assert value("trunkline_sre_dropped_traces_total") == 1


def test_the_store_is_read_when_it_is_scraped():
    registry = CollectorRegistry()
    registry.register(StoreCollector(lambda: Usage(traces=1, spans=2, size_bytes=3)))
    assert registry.get_sample_value("trunkline_sre_kept_traces") == 1
    assert registry.get_sample_value("trunkline_sre_kept_spans") == 2
    assert registry.get_sample_value("trunkline_sre_kept_bytes") == 3
