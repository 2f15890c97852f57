from prometheus_client import CollectorRegistry

from trunkline_cache.config import Bounds
from trunkline_cache.entries import Statistics
from trunkline_cache.metrics import CacheMetrics, StoreCollector


def test_what_happens_is_counted():
    registry = CollectorRegistry()
    metrics = CacheMetrics(registry)
    metrics.looked_up("exact", "hit")
    metrics.stored("too-large")
    metrics.invalidated(3)
    metrics.judged(correct=False)
    value = registry.get_sample_value
    assert value("trunkline_cache_lookups_total", {"mode": "exact", "result": "hit"}) == 1
    assert value("trunkline_cache_stores_total", {"result": "too-large"}) == 1
    assert value("trunkline_cache_invalidated_entries_total") == 3
    assert value("trunkline_cache_feedback_total", {"verdict": "wrong"}) == 1


def test_the_store_is_read_when_it_is_scraped():
    registry = CollectorRegistry()
    now = Statistics()
    registry.register(StoreCollector(Bounds(entries_limit=7), lambda: now))
    assert registry.get_sample_value("trunkline_cache_entries") == 0
    now = Statistics(entries=5, size_bytes=1234, evicted=2)
    assert registry.get_sample_value("trunkline_cache_entries") == 5
    assert registry.get_sample_value("trunkline_cache_size_bytes") == 1234
    assert registry.get_sample_value("trunkline_cache_evicted_entries_total") == 2
    assert registry.get_sample_value("trunkline_cache_entries_limit") == 7
