"""The replicas of one model: who they are, kept in touch with, and one of them for each request."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack

import grpc
from msgspec import Struct

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline.worker.v1.worker_service_pb2_grpc import WorkerServiceStub
from trunkline_gateway.beside.crew import Crew
from trunkline_gateway.fleet.meters import Place
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.replicas.discovery import Source, dialled
from trunkline_gateway.replicas.endpoint_slices import Members
from trunkline_gateway.replicas.meters import ReplicaMeters
from trunkline_gateway.replicas.replica import BREAKER, IN_FLIGHT_MAX, OUTLIER, Flight, Replica, State, Wanted
from trunkline_kit.clock import Clock
from trunkline_kit.errors import Overloaded, UpstreamUnavailable
from trunkline_kit.rpc import Net
from trunkline_policy import breakers, outliers
from trunkline_policy.breakers import Phase
from trunkline_policy.faults import FailureKind
from trunkline_policy.replicas import RULES, Asked

log = logging.getLogger(__name__)

REPORT_MS, HEARTBEAT_MS = 100, 1000
STREAM_S = 600.0
"""A stream of load reports is begun anew after this; servers end calls at 900 s."""
RETRY_S, RETRY_S_MAX, UNSPOKEN_S = 0.2, 2.0, 60.0
"""Between two attempts to hear of a replica: first, later, and of one that has no such thing."""
SWEEP_S = 0.5
FULL_S = 1.0
"""What callers are told to wait where every replica has all that it may."""
_TOKENS_PER_BYTE, _LATEST_SHARE = 0.25, 0.05
_ASKED_FIRST = (State.READY, State.UNHEARD)
_ASKED_LAST = (State.EJECTED, State.LOST)


class Parts(Struct, frozen=True, kw_only=True):
    """What all pools of a gateway share."""

    net: Net
    clock: Clock
    crew: Crew
    meters: ReplicaMeters
    dice: random.Random


class ReplicaPool:
    """Works as long as `run` does."""

    def __init__(self, place: Place, source: Source, balance: str, parts: Parts) -> None:
        self.place = place
        self.balance = balance
        self.meters = parts.meters
        self._source = source
        self._rule = RULES[balance]
        self._parts = parts
        self._replicas: dict[str, Replica] = {}
        self._found = asyncio.Event()
        self._sent = 0
        self._quiet: set[str] = set()
        self.tokens_per_byte = _TOKENS_PER_BYTE
        """Of prompts, as workers have counted them."""
        self._changed = asyncio.Event()
        self._members = Members(frozenset())

    @property
    def replicas(self) -> Sequence[Replica]:
        return tuple(self._replicas.values())

    @property
    def standing(self) -> int:
        """How many may be given work."""
        now_s = self._parts.clock.monotonic_s()
        return sum(replica.state(now_s) in _ASKED_FIRST for replica in self.replicas)

    async def run(self) -> None:
        """Follow the members, and hear of each how busy it is, until cancelled."""
        self.meters.watch(self.census)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._source.follow(self._tell))
                group.create_task(self._sweep_often())
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    await self._take(group)
        finally:
            self.meters.forget(self.census)

    def _tell(self, members: Members) -> None:
        self._members = members
        self._changed.set()

    async def _take(self, group: asyncio.TaskGroup) -> None:
        members = self._members
        for address in sorted(members.ready | members.ending):
            if address not in self._replicas and address in members.ready:
                await self._open(address, group)
        for address, replica in self._replicas.items():
            replica.removed = address not in members.ready
        self._found.set()

    async def _open(self, address: str, group: asyncio.TaskGroup) -> None:
        stack = AsyncExitStack()
        channel = await stack.enter_async_context(self._parts.net.channel(dialled(address)))
        replica = self._replicas[address] = Replica(address, WorkerServiceStub(channel), self._parts.clock)
        group.create_task(self._keep(replica, stack))

    async def _keep(self, replica: Replica, stack: AsyncExitStack) -> None:
        """Hear of it until it is removed and has nothing of ours any more."""
        async with stack:
            pause_s = RETRY_S
            while not replica.removed or replica.in_flight:
                heard = await self._hear(replica)
                pause_s = RETRY_S if heard else min(RETRY_S_MAX, pause_s * 2)
                await asyncio.sleep(pause_s if replica.speaks else UNSPOKEN_S)
            # It may have come back meanwhile, under the same address, as another one.
            if self._replicas.get(replica.address) is replica:
                del self._replicas[replica.address]
            self._changed.set()

    async def _hear(self, replica: Replica) -> bool:
        """One stream of reports, to its end. Whether it said anything."""
        heard = False
        request = pb.GetLoadRequest(min_interval_ms=REPORT_MS, heartbeat_ms=HEARTBEAT_MS)
        try:
            async for said in replica.stub.GetLoad(request, timeout=STREAM_S):
                heard = True
                replica.report(said)
                if replica.removed and not replica.in_flight:
                    return True
        except grpc.aio.AioRpcError as error:
            self._note(replica, error.code())
        else:
            # A worker that stops ends its reports first, and then what it has.
            replica.drains = True
        return heard

    def _note(self, replica: Replica, code: grpc.StatusCode) -> None:
        if code is grpc.StatusCode.UNIMPLEMENTED:
            replica.speaks = False
        elif code is not grpc.StatusCode.DEADLINE_EXCEEDED:
            if not replica.lost:
                log.info("replica %s of %s: %s", replica.address, "/".join(self.place), code.name.lower())
            replica.lose(memory_too=True)

    async def _sweep_often(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep()

    def sweep(self) -> None:
        """Give those up that have said nothing for long. Twice in a row: it may have been us who did not listen."""
        quiet = {replica.address for replica in self.replicas if replica.is_quiet() and not replica.lost}
        for address in quiet & self._quiet:
            log.warning("replica %s of %s says nothing any more", address, "/".join(self.place))
            self._replicas[address].lose(memory_too=False)
        self._quiet = quiet

    async def ready(self, timeout_s: float) -> None:
        """Until it is known who the replicas are. Raises AttemptFailed when that takes too long."""
        if self._found.is_set():
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._found.wait()
        except TimeoutError as error:
            text = f"nobody says where the workers of {self._name} are"
            raise AttemptFailed(FailureKind.BROKEN, UpstreamUnavailable(text, retry_after_s=FULL_S)) from error

    def pick(self, wanted: Wanted, tried: Collection[Replica] = (), *, stays_movable: bool = False) -> Flight:
        """A request goes to one of them, but to none that was tried. Raises AttemptFailed."""
        now_s = self._parts.clock.monotonic_s()
        open_to = [replica for replica in self.replicas if replica not in tried]
        roomy = [replica for replica in open_to if replica.in_flight < IN_FLIGHT_MAX]
        candidates = _foremost(roomy, now_s)
        if not candidates:
            raise self._refusal(open_to, roomy)
        if not tried:
            self._sent += 1
        chosen = candidates[0] if len(candidates) == 1 else candidates[self._choice(wanted, candidates, now_s)]
        return Flight(chosen, wanted, stays_movable=stays_movable)

    def _choice(self, wanted: Wanted, candidates: Sequence[Replica], now_s: float) -> int:
        asked = Asked(tokens=wanted.tokens, key=wanted.key, number=self._sent)
        return self._rule(asked, [replica.seen(wanted, now_s) for replica in candidates], self._parts.dice.random)

    def _refusal(self, open_to: Sequence[Replica], roomy: Sequence[Replica]) -> AttemptFailed:
        if open_to and not roomy:
            text = f"every worker of {self._name} has {IN_FLIGHT_MAX} requests"
            return AttemptFailed(FailureKind.LIMITED, Overloaded(text, retry_after_s=FULL_S))
        text = f"no worker of {self._name} can take this now; see /readyz"
        return AttemptFailed(FailureKind.BROKEN, UpstreamUnavailable(text, retry_after_s=FULL_S))

    @property
    def _name(self) -> str:
        return f"model {self.place[1]!r} at provider {self.place[0]!r}"

    def judge(self, replica: Replica) -> None:
        """After a failure or a slow first token: put it out if it does markedly worse than the others."""
        now_s = self._parts.clock.monotonic_s()
        others = [other for other in self.replicas if other is not replica and not other.removed]
        if not outliers.stands_out(replica.record, [other.record for other in others], OUTLIER, now_s):
            return
        standing = 1 + sum(other.state(now_s) is State.READY for other in others)
        is_in = replica.breaker.phase(now_s) is Phase.CLOSED
        if is_in and outliers.may_put_out(standing, len(others) + 1, OUTLIER):
            replica.breaker = breakers.opened(replica.breaker, now_s, BREAKER)
            replica.record = outliers.put_out(replica.record)
            self.meters.ejected(self.place)

    def learn(self, wanted: Wanted, prompt_tokens: int) -> None:
        """A worker has counted the tokens of a prompt."""
        if wanted.text_bytes and prompt_tokens:
            latest = min(1.0, prompt_tokens / wanted.text_bytes)
            self.tokens_per_byte += (latest - self.tokens_per_byte) * _LATEST_SHARE

    def census(self) -> tuple[Place, Counter[State]]:
        now_s = self._parts.clock.monotonic_s()
        return self.place, Counter(replica.state(now_s) for replica in self.replicas)


def _foremost(replicas: Sequence[Replica], now_s: float) -> list[Replica]:
    """Those of the best state that there is. One that leaves gets nothing; else any is better than none."""
    states = [(replica, replica.state(now_s)) for replica in replicas]
    for first in _ASKED_FIRST:
        if found := [replica for replica, state in states if state is first]:
            return found
    return [replica for replica, state in states if state in _ASKED_LAST]
