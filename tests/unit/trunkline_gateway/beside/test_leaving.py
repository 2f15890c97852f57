"""Attempts are cancelled with their caller, unless they are charged for anyway."""

import asyncio
from types import SimpleNamespace

import pytest

from trunkline_gateway.beside.drains import Drains
from trunkline_gateway.beside.leaving import attended
from trunkline_gateway.plan import Target
from trunkline_gateway.turn import Tried
from trunkline_kit.errors import UpstreamError
from trunkline_kit.lifecycle import background

TARGET = Target("m", "up", "x")


@pytest.fixture
async def drains():
    made = Drains(1)
    async with background(made.crew.working()):
        await asyncio.sleep(0)
        yield made


def turn_of(*, failed="", cut_because="", is_connecting=False):
    standing = SimpleNamespace(cut_because=cut_because)
    tried = [Tried(target=TARGET, started_s=0.0, failed=failed, is_connecting=is_connecting)]
    return SimpleNamespace(target=TARGET, tried=tried, standing=standing, is_left=False, unread=None)


def errand_of(*bills):
    return SimpleNamespace(bills=frozenset(bills), may_bill=bool(bills))


class Attempts:
    def __init__(self, result="answer"):
        self.go, self.result, self.cancelled = asyncio.Event(), result, False

    async def run(self):
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


async def left(drains, turn, errand, attempts, got):
    """The caller leaves while it waits."""

    async def rest(result):
        got.append(result)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.002):
            await attended(drains, turn, errand, attempts.run(), rest, got.append)


async def test_what_is_charged_for_goes_on_and_its_result_is_taken(drains):
    turn, attempts, got = turn_of(), Attempts(), []
    await left(drains, turn, errand_of("up"), attempts, got)
    assert turn.is_left
    attempts.go.set()
    await turn.unread()
    assert (got, attempts.cancelled) == (["answer"], False)


@pytest.mark.parametrize(
    ("turn", "bills"),
    [
        (turn_of(), ()),
        (turn_of(), ("other",)),
        (turn_of(failed="timeout"), ("up",)),
        (turn_of(cut_because="revoked"), ("up",)),
        (turn_of(is_connecting=True), ("up",)),
    ],
    ids=["nobody charges", "another one charges", "it has failed already", "the key was stopped", "nothing was sent"],
)
async def test_the_rest_is_cancelled(drains, turn, bills):
    attempts = Attempts()
    await left(drains, turn, errand_of(*bills), attempts, [])
    assert attempts.cancelled
    assert turn.unread is None
    assert not turn.is_left


async def test_an_attempt_that_fails_later_is_over_without_a_word(drains):
    turn, attempts, got = turn_of(), Attempts(UpstreamError("broke")), []
    await left(drains, turn, errand_of("up"), attempts, got)
    attempts.go.set()
    await turn.unread()
    assert not got


async def test_the_end_of_the_gateway_ends_it(drains):
    turn, attempts = turn_of(), Attempts()
    await left(drains, turn, errand_of("up"), attempts, [])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.002):
            await turn.unread()
    assert attempts.cancelled


async def test_who_stays_gets_what_it_comes_to(drains):
    attempts = Attempts()
    attempts.go.set()
    assert await attended(drains, turn_of(), errand_of("up"), attempts.run(), None, None) == "answer"
    failing = Attempts(UpstreamError("broke"))
    failing.go.set()
    with pytest.raises(UpstreamError):
        await attended(drains, turn_of(), errand_of("up"), failing.run(), None, None)
