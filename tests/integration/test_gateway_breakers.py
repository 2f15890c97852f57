"""Deployments that fail are left alone, found out about, and come back; requests go where there is room."""

import asyncio

import openai
import pytest

from trunkline_kit.clock import ManualClock
from trunkline_testkit.upstream import Reply, error_reply

ASK = [{"role": "user", "content": "hello there"}]
MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture
def tree(upstream, backup):
    """Model `fake` at `up`; elsewhere `spare`, for errors."""

    def made(fallbacks=("spare",), **model):
        return {
            "providers": {
                "up": {
                    "kind": "openai",
                    "assemble_streams": "auto",
                    "base_url": upstream.base_url,
                    "api_key": "env:UP",
                },
                "spare": {"kind": "openai", "assemble_streams": "auto", "base_url": backup.base_url},
            },
            "models": {
                "fake": {
                    "deployments": [{"provider": "up", "model": "real"}],
                    "fallbacks": {"on_error": list(fallbacks)},
                    "breaker": {"failures": 3, "open_s": 5},
                    "retries": {"max_attempts": 2},
                    **model,
                },
                "spare": {"deployments": [{"provider": "spare", "model": "real"}]},
            },
        }

    return made


@pytest.fixture
def clock():
    return ManualClock()


async def provider(harness, *, stream=False, text="hello there"):
    """Who answered."""
    ask = [{"role": "user", "content": text}]
    raw = await harness.sdk.chat.completions.with_raw_response.create(model="fake", messages=ask, stream=stream)
    if stream:
        async for _ in raw.parse():
            pass
    return raw.headers["x-trunkline-provider"]


def state(harness):
    for name in ("closed", "open", "half_open"):
        if harness.metric("trunkline_gateway_breaker_state", provider="up", model="real", state=name):
            return name
    return ""


@MODES
async def test_a_breaker_opens_is_probed_when_its_time_is_over_and_closes(open_harness, tree, upstream, clock, stream):
    upstream.replies(*[error_reply(500)] * 3)
    harness = await open_harness(tree(), clock=clock)
    assert [await provider(harness, stream=stream) for _ in range(5)] == ["spare"] * 5
    assert len(upstream.requests) == 3, "the last two did not ask"
    assert state(harness) == "open"
    clock.advance(4.9)
    assert await provider(harness, stream=stream) == "spare"
    clock.advance(0.1)
    assert state(harness) == "half_open"
    assert await provider(harness, stream=stream) == "up"
    assert state(harness) == "closed"
    labels = {"provider": "up", "model": "real", "cause": "failures"}
    assert harness.metric("trunkline_gateway_breaker_openings_total", **labels) == 1


async def test_one_probe_at_a_time_and_one_that_fails_opens_it_for_longer(open_harness, tree, upstream, clock):
    upstream.replies(*[error_reply(500)] * 3, Reply(hold_headers=True))
    harness = await open_harness(tree(timeouts={"first_token_s": 0.5}), clock=clock)
    for _ in range(3):
        await provider(harness)
    clock.advance(5)
    probe = asyncio.ensure_future(provider(harness))
    await upstream.wait_for_requests(4)
    assert await provider(harness) == "spare"
    assert len(upstream.requests) == 4
    assert await probe == "spare"
    clock.advance(9.9)
    assert state(harness) == "open"
    clock.advance(0.1)
    assert state(harness) == "half_open"


async def test_silence_trips_it_so_that_later_requests_do_not_wait_again(open_harness, tree, upstream):
    upstream.replies(Reply(hold_headers=True))
    harness = await open_harness(tree(timeouts={"first_token_s": 0.3}, breaker={"failures": 1}))
    assert await provider(harness) == "spare"
    assert await asyncio.wait_for(provider(harness), 0.25) == "spare"


async def test_streams_that_break_in_the_middle_are_failures(open_harness, tree, upstream, clock):
    some = (b'data: {"choices":[{"delta":{"content":"half"}}]}\n\n',)
    upstream.replies(Reply(headers=(("content-type", "text/event-stream"),), chunks=some, ending="cut"))
    harness = await open_harness(tree(breaker={"failures": 1}), clock=clock)
    with pytest.raises(openai.APIError):
        await provider(harness, stream=True)
    assert await provider(harness, stream=True) == "spare"


async def test_refusals_of_requests_do_not_count(open_harness, tree, upstream):
    upstream.replies(*[error_reply(400, code="unknown")] * 5)
    harness = await open_harness(tree())
    for _ in range(5):
        with pytest.raises(openai.BadRequestError):
            await provider(harness)
    assert await provider(harness) == "up"


async def test_the_last_deployment_is_asked_all_the_same_but_once_a_request(open_harness, tree, upstream, clock):
    upstream.replies(*[error_reply(500)] * 4)
    harness = await open_harness(tree(fallbacks=(), breaker={"failures": 2}), clock=clock)
    for asked in (2, 3, 4):
        with pytest.raises(openai.InternalServerError):
            await provider(harness)
        assert len(upstream.requests) == asked
    assert await provider(harness) == "up"
    assert state(harness) == "closed"


async def test_or_it_is_not_and_callers_are_told_when_to_come_back(open_harness, tree, upstream, clock):
    upstream.replies(*[error_reply(500)] * 2)
    breaker = {"failures": 2, "open_s": 60, "last_resort": False}
    harness = await open_harness(tree(fallbacks=(), breaker=breaker), clock=clock)
    for _ in range(2):
        with pytest.raises(openai.InternalServerError) as caught:
            await provider(harness)
    assert len(upstream.requests) == 2
    assert caught.value.response.headers["retry-after"] == "60"


async def test_what_is_known_outlives_a_reload_unless_the_provider_is_another(
    open_harness, tree, upstream, clock, settings_of
):
    upstream.replies(*[error_reply(500)] * 3)
    harness = await open_harness(tree(), clock=clock)
    for _ in range(3):
        await provider(harness)
    again = settings_of(tree(timeouts={"idle_s": 11}))
    await harness.gateway.apply(again)
    assert state(harness) == "open"
    changed = tree()
    changed["providers"]["up"]["connections"] = 7
    await harness.gateway.apply(settings_of(changed))
    assert await provider(harness) == "up"


TWO = [{"provider": "up", "model": "real", "weight": 1.01}, {"provider": "spare", "model": "real"}]


async def test_requests_go_to_the_least_busy(open_harness, tree, upstream):
    harness = await open_harness(tree(deployments=TWO, balance="least_busy"))
    upstream.replies(Reply(hold_headers=True))
    held = asyncio.ensure_future(provider(harness))
    await upstream.wait_for_requests(1)
    assert {await provider(harness) for _ in range(6)} == {"spare"}
    assert harness.metric("trunkline_gateway_deployment_requests", provider="up", model="real") == 1
    held.cancel()
    await asyncio.wait_for(upstream.disconnected.wait(), 5)
    assert await provider(harness) == "up"


async def test_conversations_stay_where_they_began(open_harness, tree):
    harness = await open_harness(tree(deployments=TWO, sticky=True))
    found = {}
    for _ in range(3):
        for number in range(8):
            found.setdefault(number, set()).add(await provider(harness, text=f"conversation {number}"))
    assert all(len(providers) == 1 for providers in found.values())
    assert set().union(*found.values()) == {"up", "spare"}
