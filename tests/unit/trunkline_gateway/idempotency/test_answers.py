"""Both stores say the same of who works on a request, and of what came of it."""

import tempfile
from pathlib import Path

import pytest
from redis.asyncio import Redis

from trunkline_gateway.auth import Principal
from trunkline_gateway.idempotency.answers import (
    ENTRY_BYTES,
    Answered,
    Ask,
    Found,
    MemoryAnswers,
    ask_of,
    decode_answer,
    encode_answer,
)
from trunkline_gateway.idempotency.valkey import ValkeyAnswers
from trunkline_gateway.surface import Surface
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import InvalidRequest, StoreUnavailable
from trunkline_kit.stores.valkey import open_valkey
from trunkline_testkit.valkey import valkey_server

ASK = Ask(key="k", fingerprint=b"f" * 32)
ME, OTHER = b"m" * 16, b"o" * 16


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory(prefix="tl-") as short, valkey_server(Path(short)) as running:
        yield running


@pytest.fixture(params=["memory", "valkey"])
async def answers(request):
    if request.param == "memory":
        yield MemoryAnswers(ManualClock(), 1 << 20)
        return
    async with Redis.from_url(request.getfixturevalue("server").url) as client:
        await client.flushall()
        yield ValkeyAnswers(client, ManualClock())


async def test_one_works_on_it_until_it_is_finished_and_then_everybody_has_it(answers):
    assert await answers.claim(ASK, ME, 10) is None
    assert await answers.claim(ASK, OTHER, 10) == Found(ASK.fingerprint)
    assert await answers.renew(ASK, ME, 10)
    await answers.keep(ASK, ME, b"answer", 10)
    assert await answers.claim(ASK, OTHER, 10) == Found(ASK.fingerprint, b"answer")
    assert await answers.claim(ASK, ME, 10) == Found(ASK.fingerprint, b"answer")


async def test_a_claim_that_was_sent_twice_is_one(answers):
    assert await answers.claim(ASK, ME, 10) is None
    assert await answers.claim(ASK, ME, 10) is None
    assert await answers.claim(ASK, OTHER, 10) == Found(ASK.fingerprint)


async def test_whether_it_was_kept_is_told(answers):
    await answers.claim(ASK, ME, 10)
    assert [await answers.keep(ASK, who, b"answer", 10) for who in (OTHER, ME, ME)] == [False, True, False]


async def test_an_empty_answer_is_one(answers):
    await answers.claim(ASK, ME, 10)
    await answers.keep(ASK, ME, b"", 10)
    assert await answers.claim(ASK, OTHER, 10) == Found(ASK.fingerprint, b"")


async def test_what_came_to_nothing_is_free_again(answers):
    await answers.claim(ASK, ME, 10)
    await answers.release(ASK, ME)
    assert await answers.claim(ASK, OTHER, 10) is None


async def test_only_its_owner_changes_it(answers):
    await answers.claim(ASK, ME, 10)
    assert not await answers.renew(ASK, OTHER, 10)
    await answers.keep(ASK, OTHER, b"wrong", 10)
    await answers.release(ASK, OTHER)
    assert await answers.claim(ASK, OTHER, 10) == Found(ASK.fingerprint)


async def test_what_is_finished_stays_as_it_is(answers):
    await answers.claim(ASK, ME, 10)
    await answers.keep(ASK, ME, b"answer", 10)
    await answers.release(ASK, ME)
    await answers.keep(ASK, ME, b"another", 10)
    assert not await answers.renew(ASK, ME, 10)
    assert await answers.claim(ASK, OTHER, 10) == Found(ASK.fingerprint, b"answer")


async def test_an_owner_that_died_is_replaced(server):
    clock = ManualClock()
    memory = MemoryAnswers(clock, 1 << 20)
    assert await memory.claim(ASK, ME, 10) is None
    clock.advance(10)
    assert await memory.claim(ASK, OTHER, 10) is None
    assert not await memory.renew(ASK, ME, 10)
    async with Redis.from_url(server.url) as client:
        await client.flushall()
        await ValkeyAnswers(client, clock).claim(ASK, ME, 10)
        assert 9_000 < await client.pttl("tl:idempotency:k") <= 10_000


async def test_memory_is_bounded_and_what_is_worked_on_stays():
    memory = MemoryAnswers(ManualClock(), 3 * ENTRY_BYTES + 20)
    asks = [Ask(key=str(number), fingerprint=b"f" * 32) for number in range(4)]
    await memory.claim(asks[0], ME, 10)
    for ask in asks[1:]:
        await memory.claim(ask, ME, 10)
        await memory.keep(ask, ME, b"x" * 10, 10)
    assert memory.size_bytes <= 3 * ENTRY_BYTES + 20
    assert memory.find(asks[0]) == Found(b"f" * 32)
    assert memory.find(asks[1]) is None
    assert memory.find(asks[3]) == Found(b"f" * 32, b"x" * 10)


async def test_a_store_that_is_away_is_not_asked_again_for_a_second():
    clock = ManualClock()
    async with Redis.from_url("redis://127.0.0.1:1") as client:
        answers = ValkeyAnswers(client, clock)
        with pytest.raises(StoreUnavailable, match="ConnectionError"):
            await answers.claim(ASK, ME, 10)
        with pytest.raises(StoreUnavailable, match=r"does not answer$"):
            await answers.release(ASK, ME)
        clock.advance(1)
        with pytest.raises(StoreUnavailable, match="ConnectionError"):
            await answers.keep(ASK, ME, b"", 10)


async def test_a_cluster_of_which_no_node_can_be_reached_is_away():
    clock = ManualClock()
    async with open_valkey("redis://127.0.0.1:9/?cluster=true") as client:
        answers = ValkeyAnswers(client, clock)
        for asked in (lambda: answers.claim(ASK, ME, 10), lambda: answers.keep(ASK, ME, b"", 10)):
            with pytest.raises(StoreUnavailable, match="RedisClusterException"):
                await asked()
            clock.advance(1)


def test_headers_about_the_moment_are_not_kept():
    kept = [("x-trunkline-model", "m"), ("x-ratelimit-limit-requests", "5"), ("x-trunkline-queue-ms", "3")]
    answer = Answered(True, kept, [b"a", b"b"])
    assert decode_answer(encode_answer(answer)) == Answered(True, kept[:1], [b"a", b"b"])
    with pytest.raises(StoreUnavailable):
        decode_answer(b"\xff?")


def test_keys_are_of_a_tenant_and_bodies_of_a_surface():
    def ask(key_id="k", surface=Surface.CHAT, key="x", body=b"{}"):
        return ask_of(Principal(key_id=key_id), surface, key, body)

    assert ask() == ask()
    assert ask().key != ask(key_id="other").key
    assert ask().key != ask(key="y").key
    assert ask().key == ask(body=b"{ }").key
    assert len({ask().fingerprint, ask(body=b"{ }").fingerprint, ask(surface=Surface.MESSAGES).fingerprint}) == 3


@pytest.mark.parametrize("key", [" ", "a b", "x" * 256, "é"])
def test_keys_are_plain(key):
    with pytest.raises(InvalidRequest, match="idempotency-key"):
        ask_of(Principal(key_id="k"), Surface.CHAT, key, b"")
