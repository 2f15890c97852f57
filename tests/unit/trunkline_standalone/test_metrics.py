from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from trunkline_standalone.metrics import Merged


def counted(model: str, number: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("work", "Work done", ["model"], registry=registry).labels(model).inc(number)
    return registry


def test_one_family_with_the_samples_of_all():
    page = CollectorRegistry()
    page.register(Merged((counted("a", 1), counted("b", 2))))
    text = generate_latest(page).decode()
    assert text.count("# TYPE work_total counter") == 1
    found = {
        sample.labels["model"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "work_total"
    }
    assert found == {"a": 1, "b": 2}


def test_it_is_read_anew_at_each_scrape_and_leaves_the_sources_alone():
    source = counted("a", 1)
    merged = Merged((source, counted("b", 1)))
    first, second = (sum(len(family.samples) for family in merged.collect()) for _ in range(2))
    assert first == second
    assert len(next(iter(source.collect())).samples) == 2


def test_of_nothing_there_is_nothing():
    assert list(Merged(()).collect()) == []
