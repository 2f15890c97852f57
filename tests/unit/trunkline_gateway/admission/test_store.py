"""The function in a real store: loaded when missing, never downgraded; errors told apart."""

from importlib.resources import files

import msgspec
import pytest
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from trunkline_gateway.admission.store import (
    VERSION,
    Elsewhere,
    NodeLimits,
    OperationsRefused,
    OutcomesUnknown,
    ValkeyLimits,
    is_refusal,
    open_limit_client,
)
from trunkline_gateway.admission.wire import Admit, Amend, Claim, Kind, Outcome, Query, Settle, packed, unpacked
from trunkline_kit.errors import ConfigError, StoreUnavailable
from trunkline_testkit.valkey import ValkeyServer

ONE = Admit("", 1_000, (Claim(Kind.WINDOW, "tl:{o}:w", 9, 1, 3_000),))


def packed_outcomes(count):
    return msgspec.msgpack.encode([Outcome(0, 0, 1)] * count)


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
        await limits.peek([Query(Kind.WINDOW, "tl:{o}:w", 3_000)])


async def test_an_operation_that_fails_fails_alone_and_is_not_said_each_time(limits, valkey, caplog):
    """Those before it have been done, those after it are; nothing is done twice, with or without a lease key."""
    valkey.set("tl:{o}:w", "text")
    other = Admit("", 1_000, (Claim(Kind.WINDOW, "tl:{o}:other", 9, 1, 3_000),))
    for done in (2, 4):
        first, failed, last = await limits.work([other, ONE, other])
        assert (first.refused, failed, last.refused) == (0, None, 0)
        assert last.rows[0][0] == 9 - done
    assert len(caplog.records) == 1
    assert "failed for 1 operations: WRONGTYPE" in caplog.text


async def test_gateways_that_know_no_failed_operations_are_told_an_error(limits, valkey):
    await limits.load()
    valkey.set("tl:{o}:w", "text")
    keys, blob = packed([ONE])
    for name in ("trunkline_work", "trunkline_work_2"):
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            valkey.execute_command("FCALL", name, len(keys), *keys, 0, blob)


async def test_what_cannot_be_sent_is_refused_and_the_store_not_asked(valkey_url):
    wide = Admit("", 1_000, (Claim(Kind.WINDOW, "tl:{o}:wide", 9, 1, 10**300),))
    for store in (ValkeyLimits(None, "g", "code"), NodeLimits(None, "g", "code")):
        with pytest.raises(OperationsRefused, match="cannot be sent") as refused:
            await store.work([ONE, wide])
        assert not refused.value.done


@pytest.mark.parametrize("width", [10**15, 10**17, 2**62])
async def test_absurd_windows_take_nobody_down(limits, valkey, width):
    """Settings have bounds; what older gateways send has none."""
    wide = Admit("", 1_000, (Claim(Kind.WINDOW, "tl:{o}:wide", 9, 1, width),))
    for _ in range(2):
        assert [outcome.refused for outcome in await limits.work([ONE, wide, ONE])] == [0, 0, 0]
    assert valkey.pttl("tl:{o}:wide") > 0


async def test_a_reply_that_makes_no_sense_says_that_it_may_have_been_done(limits):
    class Odd(ValkeyLimits):
        async def _command(self, *parts):
            return b"nonsense"

    with pytest.raises(OutcomesUnknown) as unknown:
        await Odd(None, "g", "code").work([ONE])
    assert unknown.value.done


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (ResponseError("value is not an integer or out of range script: on @user_function:68."), True),
        (ResponseError("user_function:66: bad argument script: trunkline_work_2, on @user_function:66."), True),
        (ResponseError("ERR Error running script: invalid expire time"), True),
        (ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"), True),
        (ResponseError("MISCONF Valkey is configured to save RDB snapshots script: x, on @user_function:1."), False),
        (OutOfMemoryError("command not allowed script: x, on @user_function:1."), False),
        (ReadOnlyError("You can't write against a read only replica script: x, on @user_function:1."), False),
        (ResponseError("Function not found"), False),
    ],
)
def test_whose_error_it_is(error, ours):
    assert is_refusal(error) is ours


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


async def test_reading_changes_nothing(limits, valkey):
    query = Query(Kind.WINDOW, "tl:{o}:w", 3_000)
    assert await limits.peek([query]) == [(0, 0)]
    assert valkey.keys("*") == []
    await limits.work([ONE])
    used, reset_ms = (await limits.peek([query, query]))[1]
    assert (used, 60_000 < reset_ms <= 63_000) == (1, True)
    valkey.function_flush()
    assert (await limits.peek([query]))[0][0] == 1


async def test_operations_of_several_slots_are_one_round_trip(valkey_url, valkey):
    async with open_limit_client(valkey_url) as client:
        node = NodeLimits(client, "gateway-1")
        valkey.function_flush()
        ops = [
            Admit(f"tl:{{{n % 3}}}:lease:{n}", 1_000, (Claim(Kind.CONCURRENT, f"tl:{{{n % 3}}}:c", 2, 1),))
            for n in range(9)
        ]
        assert [outcome.refused for outcome in await node.work(ops)] == [0] * 6 + [1] * 3
        valkey.set("tl:{1}:c", "text")
        ops = [Admit("", 1_000, (Claim(Kind.CONCURRENT, f"tl:{{{n}}}:c", 9, 1),)) for n in range(3)]
        assert [outcome and outcome.refused for outcome in await node.work(ops)] == [0, None, 0]
        assert await node.beat() == 1


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (MovedError("7 h:5"), Elsewhere("h:5")),
        (MovedError("7 :5"), Elsewhere(":5")),
        (AskError("7 h:5"), Elsewhere()),
        (TryAgainError("later"), Elsewhere()),
        (ResponseError("ERR user_function broke"), None),
        (packed_outcomes(2), Outcome(0, 0, 1)),
        (packed_outcomes(1), None),
        (b"nonsense", None),
    ],
)
async def test_what_a_node_says_to_a_slots_operations(reply, found):
    class Replies(NodeLimits):
        async def _pipelined(self, calls, now_ms):
            return [reply]

    ops = [Settle("tl:{o}:lease:1", 0, ()), Settle("tl:{o}:lease:2", 0, ())]
    assert await Replies(None, "g", "code").work(ops) == [found, found]


@pytest.mark.parametrize("error", [ClusterDownError("the cluster is down"), ResponseError("OOM no memory")])
async def test_a_node_that_can_do_nothing_is_an_outage(error):
    class Replies(NodeLimits):
        async def _pipelined(self, calls, now_ms):
            return [error]

    with pytest.raises(StoreUnavailable) as failed:
        await Replies(None, "g", "code").work([Settle("tl:{o}:lease:1", 0, ())])
    assert not isinstance(failed.value, OperationsRefused)


async def test_a_cluster_that_is_not_called_one_is_said():
    class Moves(ValkeyLimits):
        async def _command(self, *parts):
            raise MovedError("7 h:5")

    with pytest.raises(StoreUnavailable, match=r"add .cluster=true to stores.redis"):
        await Moves(None, "g", "code").work([ONE])


async def test_a_node_whose_beat_has_moved_is_there_all_the_same():
    class Moves(NodeLimits):
        async def _command(self, *parts):
            raise MovedError("7 h:5")

    assert await Moves(None, "g", "code").beat() == 1
