"""Copies of requests to a deployment that is tried out: nobody sees its answers, waits for them or is charged for them.

A copy is sent when the request has been answered. It has rows of its own in the ledger, of the team `SHADOW_TEAM`: the
provider charges for it, so it is in the books; the caller did not ask for it, so it is on none of the caller's.
"""

import asyncio
import random
from functools import partial

import msgspec
from msgspec import Raw
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, Counter

from trunkline_gateway import body as bodies
from trunkline_gateway.analysis import Analyst
from trunkline_gateway.attempts import Attempts
from trunkline_gateway.auth import Principal
from trunkline_gateway.beside.crew import Crew
from trunkline_gateway.beside.drains import Drains
from trunkline_gateway.delivery import Delivery
from trunkline_gateway.errands import Errand
from trunkline_gateway.fleet.arms import AnswerTimes
from trunkline_gateway.fleet.deployments import Fleet
from trunkline_gateway.fleet.planning import Planned
from trunkline_gateway.ledger.bookkeeping import Bookkeeper
from trunkline_gateway.openai_types import ResponsesControl
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import Call
from trunkline_gateway.sink import Headers
from trunkline_gateway.surface import Surface
from trunkline_gateway.telemetry import Meters
from trunkline_gateway.turn import Turn
from trunkline_kit.errors import TrunklineError
from trunkline_kit.settings import Retries
from trunkline_kit.tracing import Tracing
from trunkline_policy.retries import Chains

SHADOW_TEAM = "~shadow"
"""In the ledger: not a name to give to a team."""
SKIPPED = "skipped"
"""The outcome of a copy that was not sent, because as many as may be were under way."""
_CIPHER = b'"encrypted_content"'
_FALSE = Raw(b"false")
_ONCE = Retries(max_attempts=1)

_encode = msgspec.json.Encoder().encode


class Unseen:
    """A sink for what nobody gets."""

    async def whole(self, body: bytes, headers: Headers) -> None:
        pass

    async def open(self, headers: Headers) -> None:
        pass

    async def events(self, chunks: list[bytes]) -> None:
        pass

    async def done(self) -> None:
        pass

    async def broken(self, error: TrunklineError) -> None:
        pass


class Shadows:
    """Of one gateway process."""

    def __init__(
        self, fleet: Fleet, analyst: Analyst, bookkeeper: Bookkeeper, dice: random.Random, registry: CollectorRegistry
    ) -> None:
        self.crew = Crew("copying a request")
        self._clock = fleet.clock
        self._dice = dice
        self._bookkeeper = bookkeeper
        # What is counted of requests and providers stays free of copies.
        unseen = Meters(CollectorRegistry())
        self._delivery = Delivery(
            analyst=analyst,
            attempts=Attempts(Tracing(), unseen, fleet, dice),
            bookkeeper=bookkeeper,
            drains=Drains(),
            meters=unseen,
            clock=fleet.clock,
        )
        self._under_way: dict[str, int] = {}
        self._copies = Counter(
            "trunkline_gateway_shadow_requests",
            "Copies of requests, by how they ended; skipped: as many as may be were under way.",
            ("model", "provider", "outcome"),
            registry=registry,
        )
        self._times = AnswerTimes("shadow", ("model", "provider"), registry)

    def copy(self, turn: Turn, errand: Errand) -> None:
        """A request has been answered: send a share of them to the model's shadow as well. Never waits."""
        offer = errand.offer
        shadow, target = offer.shadow, offer.shadow_target
        if shadow is None or target is None or not self.crew.is_working or self._dice.random() >= shadow.ratio:
            return
        if self._under_way.get(offer.name, 0) >= shadow.concurrent:
            self._copies.labels(offer.name, target.provider, SKIPPED).inc()
            return
        self._under_way[offer.name] = self._under_way.get(offer.name, 0) + 1
        task = self.crew.start(self._send(_turn_of(turn, self._clock.monotonic_s()), errand, target))
        if turn.held is not None:
            held = turn.held.keep()
            task.add_done_callback(lambda _: held.release())

    async def _send(self, turn: Turn, errand: Errand, target: Target) -> None:
        copied = self._errand_of(turn, errand, target)
        deliver = self._delivery.stream if turn.stream else self._delivery.whole
        try:
            await deliver(turn, copied, Unseen())
        except TrunklineError as error:
            turn.outcome = error.reason
        except asyncio.CancelledError:
            turn.outcome = "cancelled"
            raise
        finally:
            self._settle(turn, copied, target)

    def _errand_of(self, turn: Turn, errand: Errand, target: Target) -> Errand:
        offer = errand.offer
        return replace(
            errand,
            call=_unkept(errand.call),
            offer=replace(offer, targets=(target,), retries=_ONCE, hedge=None, shadow=None),
            plan=Planned(Chains(places=(target,)), errand.plan.offers),
            slot=None,
            deadline_s=asyncio.get_running_loop().time() + offer.timeouts.total_s,
            opened=partial(self._bookkeeper.begin, turn, errand.call.body),
            progress=partial(self._bookkeeper.progress, turn),
            bills=frozenset(),
        )

    def _settle(self, turn: Turn, errand: Errand, target: Target) -> None:
        offer = errand.offer
        self._under_way[offer.name] -= 1
        turn.took_s = self._clock.monotonic_s() - turn.started_s
        if turn.flight is not None:
            turn.flight.settle(turn.outcome)
        self._bookkeeper.settle(turn, errand.pricing, errand.call.body)
        self._copies.labels(offer.name, target.provider, turn.outcome).inc()
        self._times.observe((offer.name, target.provider), turn.took_s, turn.first_token_s)


def may_copy(errand: Errand, turn: Turn) -> bool:
    """Whether there is anything to copy, and a use in it: what failed for its own sake would fail again.

    What only one account can answer is not copied: the conversation and the thoughts that it keeps are not elsewhere.
    """
    return errand.offer.shadow is not None and turn.outcome == "ok" and not _is_bound(errand.call)


def _is_bound(call: Call) -> bool:
    control = call.control
    if not isinstance(control, ResponsesControl):
        return False
    return call.only is not None or control.previous_response_id is not None or _CIPHER in call.body


def _unkept(call: Call) -> Call:
    """The request so that no provider keeps its answer, which nobody would ever delete."""
    if call.surface is not Surface.RESPONSES:
        return call
    return replace(call, body=_encode({**bodies.members_of(call.body), "store": _FALSE}))


def _turn_of(turn: Turn, now_s: float) -> Turn:
    """The copy: the same request, asked by nobody."""
    return Turn(
        surface=turn.surface,
        principal=Principal(key_id="", team=SHADOW_TEAM, org=turn.principal.org),
        request_id=turn.request_id,
        traceparent="",
        started_s=now_s,
        model=turn.model,
        stream=turn.stream,
        trace_id=turn.trace_id,
    )
