"""A request with its plan, and the two ways to carry it out: as a stream, or as a whole answer."""

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from trunkline_gateway.analysis import Slot
from trunkline_gateway.catalogue import Offer
from trunkline_gateway.fleet.planning import Planned
from trunkline_gateway.ledger.slots import Progress
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.pricing import Pricing
from trunkline_gateway.providers.base import Answer, Call, Provider, Terms
from trunkline_gateway.relay.gathering import Begun, begun_of, gathered
from trunkline_gateway.relay.streaming import Clocks, Started, begin, begun
from trunkline_gateway.turn import Turn


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """A request with its plan."""

    call: Call
    offer: Offer
    plan: Planned
    providers: Mapping[str, Provider]
    slot: Slot | None
    pricing: Pricing
    deadline_s: float
    """On the loop's clock."""
    opened: Callable[[], None]
    """Called before each attempt is sent."""
    progress: Callable[[], Progress | None]
    """Who counts the pieces of the attempt that answers."""
    bills: frozenset[str] = frozenset()
    """Providers that charge for what they generate after a disconnect."""

    @property
    def clocks(self) -> Clocks:
        """Of a stream under way."""
        timeouts = self.offer.timeouts
        return Clocks(
            idle_s=timeouts.idle_s,
            deadline_s=self.deadline_s,
            events_per_s_min=timeouts.min_events_per_s,
            pace_s=timeouts.pace_s,
        )

    @property
    def may_bill(self) -> bool:
        """Whether any of its targets charges after a disconnect."""
        return bool(self.bills) and any(target.provider in self.bills for target in self.plan.chains.places)

    def slot_for(self, turn: Turn) -> Slot | None:
        """Where the answer is cached. Not one of a fallback: it would stand in for the model long after the outage."""
        return self.slot if turn.target in self.offer.targets else None


class StreamJob:
    """A stream: an attempt has worked when its first meaningful event is there."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand

    def is_prompt(self, target: Target) -> bool:  # noqa: ARG002 - the Protocol's
        return True

    async def begin(self, target: Target, terms: Terms) -> Started:
        self._errand.opened()
        return await begin(self._errand.providers[target.provider], self._errand.call, target, terms)

    async def finish(self, turn: Turn, begun_with: Started) -> Started:  # noqa: ARG002 - the Protocol's
        return begun_with

    def discard(self, begun_with: Started) -> None:
        begun_with.stream.cut()


class WholeJob:
    """A whole answer, put together from a stream where the provider allows that; until then it may fail over."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand

    def is_prompt(self, target: Target) -> bool:
        return self._errand.providers[target.provider].streams_whole(self._errand.call, target)

    async def begin(self, target: Target, terms: Terms) -> Answer | Begun:
        self._errand.opened()
        found = await self._errand.providers[target.provider].whole(self._errand.call, target, terms)
        return found if isinstance(found, Answer) else begun_of(await begun(found, target), found, target.provider)

    async def finish(self, turn: Turn, begun_with: Answer | Begun) -> Answer:
        if isinstance(begun_with, Answer):
            return begun_with
        tried, progress, loop = turn.final, self._errand.progress(), asyncio.get_running_loop()

        def heard(pieces: int) -> None:
            tried.pieces = turn.pieces = pieces
            if progress is not None:
                progress(pieces, loop.time())

        return await gathered(begun_with, self._errand.call, tried.target.provider, self._errand.clocks, heard)

    def discard(self, begun_with: Answer | Begun) -> None:
        if isinstance(begun_with, Begun):
            begun_with.stream.cut()
