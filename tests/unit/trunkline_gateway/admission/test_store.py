"""The function in a real store: loaded when missing, never downgraded; errors told apart."""

from importlib.resources import files

import pytest

from trunkline_gateway.admission.store import VERSION, OperationsRefused, ValkeyLimits, open_limit_client
from trunkline_gateway.admission.wire import Admit, Amend, Claim, Kind, Settle, packed, unpacked
from trunkline_kit.errors import ConfigError, StoreUnavailable
from trunkline_testkit.valkey import ValkeyServer

ONE = Admit("", 1_000, (Claim(Kind.WINDOW, "tl:{o}:w", 9, 1, 3_000),))


@pytest.fixture
async def limits(valkey_url, valkey):
    async with open_limit_client(valkey_url) as client:
        yield ValkeyLimits(client, "gateway-1")


async def test_it_is_loaded_when_it_is_missing(limits, valkey):
    for _ in range(2):
        valkey.function_flush()
        assert [outcome.refused for outcome in await limits.work([ONE])] == [0]
        valkey.function_flush()
        assert await limits.beat() == 1
    assert valkey.execute_command("FCALL", "trunkline_version", 0) == VERSION


async def test_a_newer_one_is_left_alone_and_an_older_one_replaced(limits, valkey):
    code = files("trunkline_gateway.admission").joinpath("trunkline.lua").read_text()
    for other, after in ((VERSION + 1, VERSION + 1), (VERSION - 1, VERSION)):
        valkey.function_load(code.replace(f"VERSION = {VERSION}", f"VERSION = {other}"), replace=True)
        await limits.load()
        assert valkey.execute_command("FCALL", "trunkline_version", 0) == after


async def test_gateways_are_counted_while_they_are_heard_of(limits, valkey_url, valkey):
    async with open_limit_client(valkey_url) as client:
        assert await limits.beat() == 1
        assert await ValkeyLimits(client, "gateway-2").beat() == 2
        assert await limits.beat() == 2
    seconds, _ = valkey.time()
    valkey.zadd("tl:gateways", {"gateway-2": seconds * 1000 - 1})
    assert await limits.beat() == 1


async def test_a_key_that_holds_something_else_is_refused_and_not_called_an_outage(limits, valkey):
    valkey.set("tl:{o}:w", "text")
    with pytest.raises(OperationsRefused, match="the limits' function failed"):
        await limits.work([ONE])


async def test_nobody_there_is_an_outage(tmp_path):
    server = ValkeyServer(tmp_path)
    async with open_limit_client(server.url) as client:
        with pytest.raises(StoreUnavailable, match="Valkey does not answer: ConnectionError") as failed:
            await ValkeyLimits(client, "gateway-1").work([ONE])
        with pytest.raises(StoreUnavailable, match="does not take the limits' function"):
            await ValkeyLimits(client, "gateway-1").load()
    assert not isinstance(failed.value, OperationsRefused)


async def test_a_url_that_makes_no_sense_is_said():
    with pytest.raises(ConfigError, match="must start with redis://"):
        async with open_limit_client("http://nowhere"):
            pass


def test_keys_are_named_once():
    claim = Claim(Kind.CONCURRENT, "c", 1, 1)
    keys, blob = packed([Admit("l", 1_000, (claim,)), Settle("l", 0, (Amend(Kind.CONCURRENT, "c", 1, 0),))])
    assert keys == ["l", "c"]
    assert len(blob) < 64


def test_what_is_no_reply_is_refused():
    with pytest.raises(ValueError, match="Expected `array`"):
        unpacked(b"\x01")
