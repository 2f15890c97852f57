"""Who wins, and that the loser is over and leaves nothing behind."""

import asyncio

import pytest

from trunkline_gateway.fleet.racing import race
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_kit.errors import InvalidRequest, UpstreamError
from trunkline_policy.faults import FailureKind

SOON, LATER = 0.0, 30.0


class Runner:
    """An attempt that does what it is told to, when it is told to."""

    def __init__(self):
        self.go = asyncio.Event()
        self.fate = None
        self.started = asyncio.Event()
        self.cancelled = False

    async def __call__(self):
        self.started.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self.fate, Exception):
            raise self.fate
        return self.fate

    def end(self, fate):
        self.fate = fate
        self.go.set()


def broken(text="broken"):
    return AttemptFailed(FailureKind.BROKEN, UpstreamError(text))


@pytest.fixture
def pair():
    return Runner(), Runner()


async def racing(first, second, after_s=SOON):
    """A race under way, both started if `after_s` is soon."""
    task = asyncio.ensure_future(race(first, after_s, lambda: second))
    last = second if second is not None and after_s == SOON else first
    await last.started.wait()
    return task


async def test_the_first_alone_wins_before_a_second_is_needed(pair):
    first, second = pair
    task = await racing(first, second, LATER)
    first.end("yes")
    assert await task == "yes"
    assert not second.started.is_set()


@pytest.mark.parametrize("winner", [0, 1])
async def test_whoever_succeeds_first_wins_and_the_other_is_over(pair, winner):
    task = await racing(*pair)
    pair[winner].end("yes")
    assert await task == "yes"
    assert pair[1 - winner].cancelled


@pytest.mark.parametrize("loser", [0, 1])
async def test_one_that_fails_leaves_the_race_to_the_other(pair, loser):
    task = await racing(*pair)
    pair[loser].end(broken())
    await asyncio.sleep(0)
    assert not task.done()
    pair[1 - loser].end("yes")
    assert await task == "yes"


async def test_both_may_fail(pair):
    task = await racing(*pair)
    pair[0].end(broken("one"))
    pair[1].end(broken("two"))
    with pytest.raises(AttemptFailed, match="two"):
        await task


async def test_a_failure_before_a_second_is_needed_is_the_end(pair):
    task = await racing(*pair, LATER)
    pair[0].end(broken("alone"))
    with pytest.raises(AttemptFailed, match="alone"):
        await task
    assert not pair[1].started.is_set()


async def test_without_a_second_the_first_goes_on_alone(pair):
    task = await racing(pair[0], None)
    pair[0].end("yes")
    assert await task == "yes"


async def test_what_the_caller_must_hear_ends_both(pair):
    task = await racing(*pair)
    pair[1].end(InvalidRequest("wrong"))
    with pytest.raises(InvalidRequest):
        await task
    assert pair[0].cancelled


async def test_both_at_one_moment_is_the_first_ones(pair):
    task = await racing(*pair)
    pair[1].end("also")
    pair[0].end("yes")
    assert await task == "yes"


async def test_a_caller_who_leaves_ends_both(pair):
    task = await racing(*pair)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pair[0].cancelled
    assert pair[1].cancelled
