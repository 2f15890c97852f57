"""Trying one target after another within one deadline and one budget of attempts."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from opentelemetry.trace import SpanKind

from trunkline_gateway.catalogue import Offer
from trunkline_gateway.plan import Failure, FailureKind, Target, next_step
from trunkline_gateway.providers.base import AttemptFailed, Terms
from trunkline_gateway.surface import OPERATIONS
from trunkline_gateway.telemetry import Meters, end_attempt_span
from trunkline_gateway.turn import Tried, Turn
from trunkline_kit.errors import DeadlineExceeded, TrunklineError
from trunkline_kit.tracing import Tracing, traceparent_of

T = TypeVar("T")
Begin = Callable[[Target, Terms], Awaitable[T]]
"""One attempt. Raises AttemptFailed where another one may do better."""


class Attempts:
    """Runs the plan. Holds nothing of a request."""

    def __init__(self, tracing: Tracing, meters: Meters, dice: random.Random) -> None:
        self._tracing = tracing
        self._meters = meters
        self.dice = dice

    async def run(self, turn: Turn, offer: Offer, targets: Sequence[Target], deadline_s: float, begin: Begin[T]) -> T:
        """The first attempt that succeeds. `deadline_s` is on the loop's clock.

        Raises what the last failed attempt said when nothing is left to try, DeadlineExceeded when time is up.
        """
        loop = asyncio.get_running_loop()
        failed: AttemptFailed | None = None
        while step := next_step(targets, turn.failures, offer.retries.max_attempts, self.dice.random()):
            if step.wait_s:
                if loop.time() + step.wait_s >= deadline_s:
                    break
                await asyncio.sleep(step.wait_s)
            turn.target = step.target
            turn.attempts += 1
            tried = Tried(target=step.target, started_s=loop.time())
            turn.tried.append(tried)
            terms = Terms(connect_s=offer.timeouts.connect_s, total_s=deadline_s - loop.time())
            first_s = offer.timeouts.first_token_s if turn.stream else terms.total_s
            try:
                async with asyncio.timeout_at(min(deadline_s, loop.time() + first_s)):
                    begun = await self._traced(turn, step.target, terms, begin)
            except TimeoutError:
                failed = AttemptFailed(FailureKind.SILENT, _silent(step.target, first_s))
            except AttemptFailed as error:
                failed = error
            else:
                tried.ended_s = loop.time()
                self._meters.attempt(step.target.provider, "ok")
                return begun
            tried.ended_s, tried.failed = loop.time(), failed.error.reason
            turn.failures.append(Failure(step.target, failed.kind))
            self._meters.attempt(step.target.provider, failed.kind.value)
            if loop.time() >= deadline_s:
                break
        if failed is None:
            raise DeadlineExceeded("the request's time was up before it could be sent to a provider")
        raise failed.error from failed

    async def _traced(self, turn: Turn, target: Target, terms: Terms, begin: Begin[T]) -> T:
        """One attempt under its own span, whose context goes to the provider."""
        if self._tracing.tracer is None:
            return await begin(target, _with(terms, turn.traceparent))
        span = self._tracing.start(f"{OPERATIONS[turn.surface]} {target.provider_model}", kind=SpanKind.CLIENT)
        try:
            with self._tracing.use(span):
                result = await begin(target, _with(terms, traceparent_of(span.get_span_context())))
        except BaseException as error:
            end_attempt_span(span, turn, target, error)
            raise
        end_attempt_span(span, turn, target, None)
        return result


def _with(terms: Terms, traceparent: str) -> Terms:
    if not traceparent:
        return terms
    return Terms(connect_s=terms.connect_s, total_s=terms.total_s, traceparent=traceparent)


def _silent(target: Target, waited_s: float) -> TrunklineError:
    return DeadlineExceeded(f"provider {target.provider!r} did not answer within {waited_s:.3g} s")
