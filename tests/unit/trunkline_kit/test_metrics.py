"""The metrics page over real HTTP."""

import asyncio

import aiohttp
import pytest
from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

from trunkline_kit.errors import Conflict
from trunkline_kit.metrics import Metrics, open_metrics


@pytest.fixture
def metrics():
    return Metrics("gateway")


def test_registries_are_apart():
    first, second = Metrics("a"), Metrics("b")
    Counter("trunkline_requests", "Requests.", registry=first.registry)
    Counter("trunkline_requests", "Requests.", registry=second.registry)


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
