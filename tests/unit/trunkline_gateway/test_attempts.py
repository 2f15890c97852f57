"""One deadline and one budget over all attempts."""

import asyncio
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.attempts import Attempts
from trunkline_gateway.auth import Principal
from trunkline_gateway.catalogue import Offer
from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.surface import Surface
from trunkline_gateway.telemetry import Meters
from trunkline_gateway.turn import Turn
from trunkline_kit.errors import DeadlineExceeded, InvalidRequest, UpstreamUnavailable
from trunkline_kit.settings import Retries, Timeouts
from trunkline_kit.tracing import Tracing

A, B = Target("m", "a", "x"), Target("m", "b", "x")
BROKEN = AttemptFailed(FailureKind.BROKEN, UpstreamUnavailable("broken"))


def offer(max_attempts=3, **timeouts):
    return Offer(
        name="m",
        targets=(A, B),
        fallbacks=(),
        timeouts=Timeouts(**timeouts),
        retries=Retries(max_attempts=max_attempts),
    )


def turn(stream=True):
    return Turn(
        surface=Surface.CHAT,
        principal=Principal(key_id="k"),
        request_id="r",
        traceparent="",
        started_s=0.0,
        stream=stream,
    )


class Script:
    """Attempts with given results; knows who was asked."""

    def __init__(self, *results):
        self._results = list(results)
        self.asked = []

    async def __call__(self, target, terms):
        self.asked.append(target)
        result = self._results.pop(0)
        if result is None:
            await asyncio.Event().wait()
        if isinstance(result, Exception):
            raise result
        return result


async def run(script, given, made, in_s=5.0):
    attempts = Attempts(Tracing(), Meters(CollectorRegistry()), Random(1))
    return await attempts.run(made, given, (A, B), asyncio.get_running_loop().time() + in_s, script)


async def test_the_first_success_is_the_answer():
    script, made = Script(BROKEN, "yes"), turn()
    assert await run(script, offer(), made) == "yes"
    assert script.asked == [A, B]
    assert (made.target, made.attempts) == (B, 2)


async def test_the_last_failure_is_told_when_the_budget_is_spent():
    script = Script(BROKEN, BROKEN)
    with pytest.raises(UpstreamUnavailable, match="broken"):
        await run(script, offer(max_attempts=2), turn())


async def test_what_the_caller_must_hear_ends_it_at_once():
    script = Script(InvalidRequest("wrong"))
    with pytest.raises(InvalidRequest):
        await run(script, offer(), turn())
    assert script.asked == [A]


async def test_silence_before_the_first_token_goes_to_the_next():
    script = Script(None, "yes")
    assert await run(script, offer(first_token_s=0.01), turn()) == "yes"


async def test_nothing_outlives_the_deadline():
    script = Script(None)
    with pytest.raises(DeadlineExceeded):
        await run(script, offer(first_token_s=5), turn(), in_s=0.01)
    assert script.asked == [A]


async def test_a_pause_that_would_miss_the_deadline_is_not_begun():
    script = Script(BROKEN, BROKEN)
    with pytest.raises(UpstreamUnavailable):
        await run(script, offer(max_attempts=9), turn(), in_s=0.02)
    assert script.asked == [A, B]
