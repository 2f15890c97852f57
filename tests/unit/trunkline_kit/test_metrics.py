"""The metrics page over real HTTP, and label sets that stay closed."""

import asyncio

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from trunkline_kit.errors import Conflict
from trunkline_kit.metrics import Metrics, open_metrics


@pytest.fixture
def metrics():
    return Metrics("gateway")


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def test_closed_label_sets(metrics):
    requests = metrics.counter(
        "trunkline_requests", "Requests.", {"outcome": ("ok", "error"), "cache": ("hit", "miss")}
    )
    requests.of(outcome="ok", cache="hit").inc()
    requests.of(outcome="ok", cache="hit").inc()
    requests.of(outcome="' OR 1=1", cache="miss").inc()
    assert value(metrics, "trunkline_requests_total", outcome="ok", cache="hit") == 2
    assert value(metrics, "trunkline_requests_total", outcome="other", cache="miss") == 1


@pytest.mark.parametrize("labels", [{}, {"wrong": "ok"}, {"outcome": "ok", "more": "x"}])
def test_wrong_labels_are_a_fault(metrics, labels):
    requests = metrics.counter("trunkline_requests", "Requests.", {"outcome": ("ok",)})
    with pytest.raises(KeyError):
        requests.of(**labels)


def test_a_label_needs_values(metrics):
    with pytest.raises(ValueError, match="closed set"):
        metrics.gauge("trunkline_load", "Load.", {"model": ()})


def test_without_labels(metrics):
    metrics.gauge("trunkline_load", "Load.").of().set(0.5)
    metrics.histogram("trunkline_wait_seconds", "Wait.", buckets=(1.0, 2.0)).of().observe(1.5)
    assert value(metrics, "trunkline_load") == 0.5
    assert value(metrics, "trunkline_wait_seconds_bucket", le="2.0") == 1


def test_registries_are_apart():
    first, second = Metrics("a"), Metrics("b")
    first.counter("trunkline_requests", "Requests.")
    second.counter("trunkline_requests", "Requests.")


async def test_the_page(metrics):
    async with open_metrics("127.0.0.1:0", metrics) as address, aiohttp.ClientSession() as session:
        response = await session.get(f"http://{address}/metrics")
        assert response.status == 200
        families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    assert {"trunkline_build_info", "process_resident_memory_bytes", "python_gc_objects_collected"} <= set(families)
    assert families["trunkline_build_info"].samples[0].labels["service"] == "gateway"


async def test_what_is_not_the_page(metrics):
    async with open_metrics("127.0.0.1:0", metrics) as address, aiohttp.ClientSession() as session:
        assert (await session.get(f"http://{address}/")).status == 404
        assert (await session.post(f"http://{address}/metrics")).status == 405
        head = await session.head(f"http://{address}/metrics?name=x")
        assert (head.status, await head.read()) == (200, b"")


@pytest.mark.parametrize("nonsense", [b"\r\n\r\n", b"\xff\x00\r\n\r\n", b"x" * 20_000, b"GET"])
async def test_nonsense_does_not_harm_it(metrics, nonsense):
    async with open_metrics("127.0.0.1:0", metrics) as address, aiohttp.ClientSession() as session:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(nonsense)
        writer.write_eof()
        await reader.read()
        writer.close()
        assert (await session.get(f"http://{address}/metrics")).status == 200


async def test_a_taken_port(metrics):
    async with open_metrics("127.0.0.1:0", metrics) as address:
        with pytest.raises(Conflict, match="cannot serve metrics"):
            async with open_metrics(address, metrics):
                pass
