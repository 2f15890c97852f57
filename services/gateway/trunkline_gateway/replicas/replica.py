"""One replica as this gateway sees it: what it says of itself, what we sent there, and how that went."""

from __future__ import annotations

from enum import Enum
from typing import Any
from weakref import WeakSet

from msgspec import Struct, structs

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_gateway.replicas.prefixes import BLOCK_BYTES, Chain, PrefixIndex
from trunkline_kit.clock import Clock
from trunkline_policy import breakers, outliers
from trunkline_policy.replicas import Load
from trunkline_policy.replicas import Replica as Seen

STALE_S = 2.5
"""A report older than this is not known any more. Workers are asked for one every `HEARTBEAT_S` at least."""
LOST_S = 5.0
"""A replica that has said nothing for so long gets no new work, and what it has not begun goes elsewhere."""
IN_FLIGHT_MAX = 1000
"""Requests to one replica from one gateway; under the 1,024 calls that a worker takes."""
BREAKER = breakers.Terms(failures=3, open_s=2.0, open_s_max=30.0, probe_s=10.0)
"""Quicker than a deployment's: there are others to ask meanwhile."""
OUTLIER = outliers.Terms()
_LATEST_SHARE = 0.1
_BYTES_PER_TOKEN = 4
BLOCKS_UNTOLD = 8192
"""Blocks that a worker is taken to keep which does not say how much it can: about 500,000 tokens."""


class State(Enum):
    """In the order in which they are asked. The value is its label in metrics."""

    READY = "ready"
    UNHEARD = "unheard"
    """It has never said anything, or cannot."""
    EJECTED = "ejected"
    """It failed too often, or does markedly worse than the others."""
    LOST = "lost"
    """It has stopped saying anything, or cannot be reached."""
    LEAVING = "leaving"
    """It drains, or is no replica of this model any more: it only ends what it has."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What of a request decides where it goes."""

    prompt_bytes: int
    tokens: float
    """Of the prompt, estimated."""
    text_bytes: int = 0
    """By which they were; 0 where they were counted."""
    chain: Chain = ()
    key: bytes = b""
    """For `hash`."""


class Replica:
    """Moments are on the clock's monotonic hand."""

    def __init__(self, address: str, stub: Any, clock: Clock) -> None:
        self.address = address
        self.stub = stub
        self.clock = clock
        self.prefixes = PrefixIndex(BLOCKS_UNTOLD)
        self.breaker = breakers.SOUND
        self.record = outliers.UNSEEN
        self.removed = False
        """It is not among the members any more, or they say that it ends."""
        self.drains = False
        self.lost = False
        self.speaks = True
        """False for a worker that has no load reports."""
        self.load: Load | None = None
        self.reported_s = clock.monotonic_s()
        self.sent = 0
        self.sent_tokens = 0.0
        self.unread: dict[int, float] = {}
        """Tokens of each request that has had no first token, by its flight's id, the oldest first."""
        self.unread_tokens = 0.0
        self.in_flight = 0
        self.request_s = 0.0
        self.stay_s = 0.0
        self.movable: WeakSet[Flight] = WeakSet()
        """Requests that can still be taken elsewhere: nothing of their answers was given away."""

    def state(self, now_s: float) -> State:
        if self.removed or self.drains:
            return State.LEAVING
        if self.lost:
            return State.LOST
        if self.breaker.tripped_until_s(now_s):
            return State.EJECTED
        return State.UNHEARD if self.load is None and self.speaks else State.READY

    def seen(self, wanted: Wanted, now_s: float) -> Seen:
        """As the rules see it."""
        hit = self.prefixes.match(wanted.chain) if wanted.chain else 0
        share = min(1.0, hit * BLOCK_BYTES / wanted.prompt_bytes) if hit else 0.0
        return Seen(
            key=self.address,
            load=self._fresh(now_s - self.reported_s),
            sent=self.sent,
            sent_tokens=self.sent_tokens,
            unread_tokens=self.unread_tokens,
            first_tokens=next(iter(self.unread.values()), 0.0),
            in_flight=self.in_flight,
            hit_tokens=wanted.tokens * share,
            request_s=self.request_s,
            stay_s=self.stay_s,
        )

    def _fresh(self, age_s: float) -> Load | None:
        if self.load is None or age_s > STALE_S:
            return None
        return structs.replace(self.load, age_s=age_s)

    def report(self, said: pb.GetLoadResponse) -> None:
        """It has said how busy it is."""
        if self.lost:
            self.lost, self.breaker = False, breakers.SOUND
        self.drains, self.speaks = said.draining, True
        self.reported_s = self.clock.monotonic_s()
        self.sent, self.sent_tokens = 0, 0.0
        self.prefixes.blocks_max = said.prefix_cache_tokens * _BYTES_PER_TOKEN // BLOCK_BYTES
        self.load = Load(
            waiting_tokens=said.waiting_uncached_tokens + said.reading_tokens,
            running=said.running,
            waiting=said.waiting,
            slots=said.max_running,
            memory_share=said.kv_usage,
            tokens_per_s=said.prefill_tokens_per_s,
        )

    def lose(self, *, memory_too: bool) -> None:
        """It cannot be reached, or says nothing any more. What nobody has seen anything of is for others."""
        self.lost, self.drains = True, False
        if memory_too:
            self.load = None
            self.prefixes.clear()
        for flight in list(self.movable):
            flight.revoke()

    def is_quiet(self) -> bool:
        """Whether it should have said something long ago."""
        return self.load is not None and self.clock.monotonic_s() - self.reported_s > LOST_S


class Flight:
    """One request at one replica. Ends with `over`, or when nobody holds it any more."""

    def __init__(self, replica: Replica, wanted: Wanted, *, stays_movable: bool = False) -> None:
        now_s = replica.clock.monotonic_s()
        hit = replica.seen(wanted, now_s).hit_tokens
        self.replica = replica
        self.call: Any = None
        self.revoked = False
        """We took it away ourselves."""
        self._stays_movable = stays_movable
        """Its caller wants a whole answer, and sees nothing of one that is begun anew."""
        self._tokens = max(0.0, wanted.tokens - hit)
        self._is_timed = wanted.tokens > 0
        self._sent_s = now_s
        self._first_s: float | None = None
        self._is_over = False
        replica.breaker = breakers.admitted(replica.breaker, now_s, BREAKER)
        replica.sent += 1
        replica.sent_tokens += self._tokens
        replica.unread[id(self)] = self._tokens
        replica.unread_tokens += self._tokens
        replica.in_flight += 1
        replica.prefixes.add(wanted.chain)
        replica.movable.add(self)

    def __del__(self) -> None:
        self.over(complete=False)

    def begun(self) -> None:
        """Its first sign of life."""
        if self._first_s is not None or self._is_over:
            return
        replica, now_s = self.replica, self.replica.clock.monotonic_s()
        self._first_s = now_s
        self._read()
        replica.breaker = breakers.succeeded(replica.breaker, self._sent_s)
        took_s = now_s - self._sent_s if self._is_timed else None
        replica.record = outliers.seen(replica.record, now_s, OUTLIER, ok=True, first_token_s=took_s)

    def failed(self) -> None:
        """The replica is to blame. Ends it."""
        if self._is_over:
            return
        replica, now_s = self.replica, self.replica.clock.monotonic_s()
        replica.breaker = breakers.failed(replica.breaker, self._sent_s, now_s, BREAKER)
        replica.record = outliers.seen(replica.record, now_s, OUTLIER, ok=False)
        self._end()

    def over(self, *, complete: bool) -> None:
        """It is not there any more. Done twice it is done once."""
        if self._is_over:
            return
        replica, now_s = self.replica, self.replica.clock.monotonic_s()
        if self._first_s is None:
            replica.breaker = breakers.abandoned(replica.breaker, self._sent_s, BREAKER)
        elif complete:
            replica.request_s = _usual_s(replica.request_s, now_s - self._first_s)
            replica.stay_s = _usual_s(replica.stay_s, now_s - self._sent_s)
        self._end()

    def revoke(self) -> None:
        """Take it away from a replica that does not answer."""
        self.revoked = True
        if self.call is not None:
            self.call.cancel()

    def _read(self) -> None:
        if not self._stays_movable:
            self.replica.movable.discard(self)
        replica = self.replica
        replica.unread.pop(id(self), None)
        replica.unread_tokens = max(0.0, replica.unread_tokens - self._tokens) if replica.unread else 0.0

    def _end(self) -> None:
        self._is_over = True
        self.replica.movable.discard(self)
        self.replica.in_flight -= 1
        if self._first_s is None:
            self._read()


def _usual_s(usual_s: float, latest_s: float) -> float:
    """A mean in which the latest weigh most."""
    return usual_s + (latest_s - usual_s) * _LATEST_SHARE if usual_s else latest_s
