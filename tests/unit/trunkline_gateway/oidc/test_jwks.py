"""Keys that are fetched when they are needed, kept while they may be, and asked for no more often than is decent."""

import asyncio
from contextlib import asynccontextmanager
from math import inf

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from trunkline_gateway.oidc.jwks import (
    ASK_AGAIN_S,
    FRESH_PART,
    KEEP_S,
    MISSING_MAX,
    MISSING_S,
    IssuerKeys,
    next_fetch_s,
)
from trunkline_gateway.oidc.jwt import Header
from trunkline_gateway.oidc.keys import UnknownKey
from trunkline_gateway.oidc.meters import TokenMeters
from trunkline_gateway.oidc.refusals import Refused
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import Unavailable
from trunkline_kit.lifecycle import background
from trunkline_testkit.issuer import make_key

KNOWN = Header("ES256", "key-1")
NEW = Header("ES256", "key-2")


class Publisher:
    """Publishes what it is told to, and counts how often it was asked."""

    def __init__(self):
        self.keys = [make_key("ES256")]
        self.fails: Exception | None = None
        self.asked = 0
        self.free = asyncio.Event()
        self.free.set()
        self.began = asyncio.Event()

    async def fetch(self):
        self.asked += 1
        self.began.set()
        await self.free.wait()
        if self.fails is not None:
            raise self.fails
        return msgspec.json.encode({"keys": [key.published() for key in self.keys]})


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def open_keys(oidc, clock, registry):
    @asynccontextmanager
    async def opened(**settings):
        publisher = Publisher()
        keys = IssuerKeys("corp", oidc(**settings), publisher.fetch, clock, TokenMeters(registry))
        async with background(keys.run()):
            yield keys, publisher

    return opened


async def test_nothing_is_fetched_before_a_token_needs_it(open_keys):
    async with open_keys() as (keys, publisher):
        assert await keys.check() == "not asked yet"
        assert (publisher.asked, keys.age_s()) == (0, inf)
        assert (await keys.key_for(KNOWN)).kid == "key-1"
        assert (await keys.key_for(KNOWN)).kid == "key-1"
        assert publisher.asked == 1
        assert await keys.check() == "1 keys, 0 s old"


async def test_any_number_of_callers_cost_one_fetch(open_keys):
    async with open_keys() as (keys, publisher):
        publisher.free.clear()
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(keys.key_for(KNOWN)) for _ in range(50)]
            await publisher.began.wait()
            # These come while it is under way.
            waiting += [group.create_task(keys.key_for(KNOWN)) for _ in range(50)]
            await asyncio.sleep(0)
            publisher.free.set()
        assert {task.result().kid for task in waiting} == {"key-1"}
        await asyncio.sleep(0)
        assert publisher.asked == 1


async def test_a_caller_who_leaves_does_not_take_the_fetch_along(open_keys):
    async with open_keys() as (keys, publisher):
        publisher.free.clear()
        async with asyncio.TaskGroup() as group:
            leaver = group.create_task(keys.key_for(KNOWN))
            await publisher.began.wait()
            stayer = group.create_task(keys.key_for(KNOWN))
            await asyncio.sleep(0)
            leaver.cancel()
            await asyncio.sleep(0)
            publisher.free.set()
        assert stayer.result().kid == "key-1"
        assert publisher.asked == 1


async def test_a_new_key_works_at_once(open_keys, clock):
    async with open_keys() as (keys, publisher):
        await keys.key_for(KNOWN)
        publisher.keys.append(make_key("ES256", "key-2", serial=1))
        clock.advance(ASK_AGAIN_S)
        assert (await keys.key_for(NEW)).kid == "key-2"
        assert publisher.asked == 2


async def test_unknown_keys_cost_one_fetch_in_ten_seconds(open_keys, clock):
    async with open_keys() as (keys, publisher):
        await keys.key_for(KNOWN)
        for second in range(100):
            with pytest.raises(UnknownKey):
                await keys.key_for(Header("ES256", f"wrong-{second}"))
            clock.advance(1)
        assert publisher.asked == 1 + 9


async def test_one_wrong_key_does_not_use_up_the_fetches(open_keys, clock):
    async with open_keys() as (keys, publisher):
        await keys.key_for(KNOWN)
        clock.advance(ASK_AGAIN_S)
        for _ in range(2):
            with pytest.raises(UnknownKey):
                await keys.key_for(NEW)
            clock.advance(ASK_AGAIN_S)
        assert publisher.asked == 2
        clock.advance(MISSING_S)
        publisher.keys.append(make_key("ES256", "key-2", serial=1))
        assert (await keys.key_for(NEW)).kid == "key-2"


async def test_what_is_missing_is_remembered_within_bounds(open_keys, clock):
    async with open_keys() as (keys, publisher):
        await keys.key_for(KNOWN)
        for number in range(MISSING_MAX + 10):
            clock.advance(ASK_AGAIN_S)
            with pytest.raises(UnknownKey):
                await keys.key_for(Header("ES256", str(number)))
        assert len(keys._missing) == MISSING_MAX
        assert publisher.asked == 1 + MISSING_MAX + 10


async def test_an_algorithm_that_is_not_allowed_asks_nobody(open_keys, clock):
    async with open_keys() as (keys, publisher):
        await keys.key_for(KNOWN)
        clock.advance(ASK_AGAIN_S)
        with pytest.raises(Refused):
            await keys.key_for(Header("HS256", "key-9"))
        assert publisher.asked == 1


async def test_without_keys_nobody_can_tell_and_the_caller_hears_when_to_come_back(open_keys, clock, caplog):
    async with open_keys() as (keys, publisher):
        publisher.fails = Unavailable("no")
        with pytest.raises(Unavailable) as first:
            await keys.key_for(KNOWN)
        assert first.value.retry_after_s == ASK_AGAIN_S
        clock.advance(4)
        with pytest.raises(Unavailable) as second:
            await keys.key_for(KNOWN)
        assert (second.value.retry_after_s, publisher.asked) == (6.0, 1)
        with pytest.raises(Unavailable):
            await keys.check()
        clock.advance(6)
        publisher.fails = None
        assert (await keys.key_for(KNOWN)).kid == "key-1"
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


async def test_the_last_keys_are_used_for_a_day_while_their_issuer_is_away(open_keys, clock, registry):
    async with open_keys() as (keys, publisher):
        await keys.key_for(KNOWN)
        publisher.fails = Unavailable("no")
        clock.advance(KEEP_S)
        assert (await keys.key_for(KNOWN)).kid == "key-1"
        with pytest.raises(UnknownKey):
            await keys.key_for(NEW)
        assert registry.get_sample_value("trunkline_gateway_oidc_keys_age_seconds", {"provider": "corp"}) == KEEP_S
        labels = {"provider": "corp", "result": "failed"}
        assert registry.get_sample_value("trunkline_gateway_oidc_fetches_total", labels) == 1
        clock.advance(1)
        with pytest.raises(Unavailable):
            await keys.key_for(KNOWN)


@pytest.mark.parametrize("published", [b"<html>", b"{}", b""])
async def test_nonsense_does_not_replace_keys(open_keys, clock, published):
    async with open_keys() as (keys, _):

        async def nonsense():
            return published

        await keys.key_for(KNOWN)
        clock.advance(ASK_AGAIN_S)
        keys._fetch = nonsense
        with pytest.raises(UnknownKey):
            await keys.key_for(NEW)
        assert (await keys.key_for(KNOWN)).kid == "key-1"


async def test_a_key_that_was_taken_back_stops_with_the_next_fetch(open_keys, clock):
    async with open_keys() as (keys, publisher):
        changes = []
        keys.on_change = lambda: changes.append(1)
        await keys.key_for(KNOWN)
        clock.advance(ASK_AGAIN_S)
        publisher.keys = []
        with pytest.raises(UnknownKey):
            await keys.key_for(NEW)
        with pytest.raises(UnknownKey):
            await keys.key_for(KNOWN)
        assert changes == [1]


async def test_a_fault_of_ours_does_not_end_the_loop(open_keys, clock, caplog):
    async with open_keys() as (keys, publisher):
        publisher.fails = ZeroDivisionError()
        with pytest.raises(Unavailable):
            await keys.key_for(KNOWN)
        publisher.fails = None
        clock.advance(ASK_AGAIN_S)
        assert (await keys.key_for(KNOWN)).kid == "key-1"
    assert any(record.exc_info for record in caplog.records)


async def test_nobody_waits_for_a_loop_that_has_ended(open_keys):
    async with open_keys() as (keys, publisher):
        publisher.free.clear()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_outcome(keys))
            await publisher.began.wait()
            keys.end()
        assert isinstance(waiting.result(), Unavailable)
    assert isinstance(await _outcome(keys), Unavailable)


async def _outcome(keys):
    try:
        return await keys.key_for(KNOWN)
    except Unavailable as error:
        return error


MOMENTS = st.none() | st.floats(0, 1e6)


@given(st.floats(0.001, 1e6), MOMENTS, MOMENTS)
def test_the_loop_never_hammers_and_never_sleeps_on_old_keys(ttl_s, fetched_s, tried_s):
    due_s = next_fetch_s(ttl_s, fetched_s, tried_s)
    if tried_s is None:
        assert due_s == inf
        return
    last_s = max(tried_s, fetched_s or 0.0)
    assert due_s >= last_s + min(1.0, ASK_AGAIN_S) or fetched_s is not None
    if fetched_s is None or tried_s > fetched_s:
        assert due_s >= tried_s + ASK_AGAIN_S
    else:
        assert due_s == fetched_s + max(1.0, FRESH_PART * ttl_s)
