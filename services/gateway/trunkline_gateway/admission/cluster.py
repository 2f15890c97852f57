"""The ways to the primaries of a cluster.

A cluster is asked for its map at the start, now and then, when a node says that a key is elsewhere, and again and again
while a primary does not answer: so a failover is noticed as soon as the cluster has done it. Settlements that wait for
a node go with its slots to the next one. Nothing is ever sent twice but settlements, which count once.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
from redis.exceptions import RedisError

from trunkline_gateway.admission.batching import CLOSING_S, Batcher, Item, Patience, Waiting
from trunkline_gateway.admission.lanes import Lane, shared_by
from trunkline_gateway.admission.meters import AdmissionMeters
from trunkline_gateway.admission.slots import SLOTS, Topology, slot_of, tags_of, topology_of
from trunkline_gateway.admission.store import GATEWAYS, LimitStore, NodeLimits, library_code, limit_client, some_key
from trunkline_gateway.admission.wire import Outcome, Query, Settle
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.lifecycle import background
from trunkline_kit.stores.valkey_url import Cluster

log = logging.getLogger(__name__)

CALM_S, SICK_S = 15.0, 0.2
"""Between two looks at the map: while all primaries answer, and while one does not."""
ASK_S = 0.25
"""How long one node may take to show its map."""
FIRST_S = 2.0
"""How long the start waits for a map; without one the gateway serves as if the store were down."""
HOPS_MAX = 4
LATER_MAX = 50_000
"""Settlements for slots that nobody has just now."""


class Node(msgspec.Struct, frozen=True):
    """A primary that is in use."""

    address: str
    store: LimitStore
    batcher: Batcher


OpenNode = Callable[[str], tuple[LimitStore, Callable[[], Awaitable[object]]]]
"""A store at an address, and how to close it."""
AskNode = Callable[[str], Awaitable[Topology]]
"""The map of the cluster as the node at an address sees it, within `ASK_S`. Raises StoreUnavailable."""


class Surroundings(msgspec.Struct, frozen=True):
    """What cluster lanes reach the cluster by."""

    seeds: tuple[str, ...]
    open_node: OpenNode
    ask: AskNode


class ClusterLanes:
    """One lane for each primary, made and given up as the map changes."""

    spread = True

    def __init__(self, around: Surroundings, meters: AdmissionMeters, patience: Patience, gateways: int) -> None:
        self._around = around
        self._meters = meters
        self._patience = patience
        self._gateways = gateways
        self._owners = [""] * SLOTS
        self._others: tuple[str, ...] = ()
        self._nodes: dict[str, Node] = {}
        self._nowhere = Batcher(_Nowhere(), meters, patience)
        self._nowhere.gateways, self._nowhere.why_down = gateways, "no node of the cluster has these keys"
        self._later: deque[Item] = deque(maxlen=LATER_MAX)
        self._stale = asyncio.Event()
        self._first = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._closing = False

    def lane(self, tag: str) -> Lane:
        node = self._nodes.get(self._owners[slot_of(tag)])
        return self._nowhere if node is None else node.batcher

    def check(self) -> str:
        return shared_by([node.batcher for node in self._nodes.values()])

    async def serve(self) -> None:
        """Until closed: follow the cluster. Lanes are closed at the end, with what they can still send."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                while not self._closing:
                    await self._look()
            finally:
                self._group = None
                for node in self._nodes.values():
                    node.batcher.close()

    def close(self) -> None:
        """Let `serve` end."""
        self._closing = True
        self._stale.set()

    async def known(self) -> None:
        """Until the cluster has been seen and its primaries were asked, or for `FIRST_S`."""
        try:
            async with asyncio.timeout(FIRST_S):
                await self._first.wait()
        except TimeoutError:
            log.warning("no node of the cluster of limits has shown its map yet")

    async def _look(self) -> None:
        """Look at the map once, act on it, and wait until it is time for the next look."""
        self._stale.clear()
        found = await self._map()
        if found is not None:
            self._take(found)
        self._send_later()
        if self._nodes and not self._first.is_set():
            for node in list(self._nodes.values()):
                await node.batcher.beat(CLOSING_S)
            self._first.set()
        well = bool(self._nodes) and not self._later and all(node.batcher.up for node in self._nodes.values())
        try:
            async with asyncio.timeout(CALM_S if well else SICK_S):
                await self._stale.wait()
        except TimeoutError:
            return
        if not self._closing:
            # Whoever woke this may not be alone: one look for all of them.
            await asyncio.sleep(SICK_S / 10)

    async def _map(self) -> Topology | None:
        """From the first that shows one: primaries that answer before replicas, what is known before the seeds."""
        up = [node.address for node in self._nodes.values() if node.batcher.up]
        down = [node.address for node in self._nodes.values() if not node.batcher.up]
        for address in dict.fromkeys((*up, *self._others, *self._around.seeds, *down)):
            try:
                return await self._around.ask(address)
            except StoreUnavailable as error:
                log.debug("a node of the cluster of limits does not show its map: %r", error)
        return None

    def _take(self, found: Topology) -> None:
        self._owners, self._others = found.owners(), found.others
        wanted = set(found.primaries)
        for address in [address for address in self._nodes if address not in wanted]:
            self._give_up(self._nodes.pop(address))
        for address in wanted:
            self._node(address)
        tags = tags_of(self._owners)
        for address, node in self._nodes.items():
            if isinstance(node.store, NodeLimits) and address in tags:
                node.store.gateways_key = f"{GATEWAYS}:{{{tags[address]}}}"

    def _node(self, address: str) -> Node | None:
        """The one at this address, made if need be; None at the end of everything."""
        known = self._nodes.get(address)
        if known is not None or self._group is None:
            return known
        store, close = self._around.open_node(address)
        batcher = Batcher(store, self._meters, self._patience, address)
        batcher.gateways = self._gateways
        batcher.on_fall, batcher.on_stray = self._stale.set, self._astray(address)
        node = self._nodes[address] = Node(address, store, batcher)
        self._meters.store_up(up=False, lane=address)
        # Until now there was only the whole store, and that it was not there.
        self._meters.forget("")
        self._group.create_task(_served(batcher, close))
        log.info("a primary of the cluster of limits", extra={"node": address})
        return node

    def _give_up(self, node: Node) -> None:
        log.info("no primary of the cluster of limits any more", extra={"node": node.address})
        for item in node.batcher.retire():
            self._route(item)
        self._meters.forget(node.address)

    def _astray(self, asked: str) -> Callable[[Item, str], None]:
        """What takes the items that the node at `asked` has sent away."""

        def astray(item: Item, address: str) -> None:
            self._stale.set()
            if isinstance(item, Waiting):
                item = msgspec.structs.replace(item, hops=item.hops + 1)
                if not address or item.hops > HOPS_MAX:
                    _unanswered(item)
                    return
            if not address:
                self._put_off(item)
                return
            host = address.rpartition(":")[0] or asked.rpartition(":")[0]
            place = f"{host}:{address.rpartition(':')[2]}"
            self._owners[slot_of(_key_of(item))] = place
            self._node(place)
            self._route(item)

        return astray

    def _route(self, item: Item) -> None:
        node = self._nodes.get(self._owners[slot_of(_key_of(item))])
        if node is not None:
            node.batcher.take_over(item)
        elif isinstance(item, Waiting):
            _unanswered(item)
        else:
            self._put_off(item)

    def _put_off(self, item: Item) -> None:
        if isinstance(item, Settle):
            if len(self._later) == LATER_MAX:
                self._meters.lost.inc()
            self._later.append(item)

    def _send_later(self) -> None:
        """What had no node: while a slot moves, between a primary's end and the next one's beginning."""
        waiting = [*self._nowhere.unsent(), *self._later]
        self._later.clear()
        for item in waiting:
            self._route(item)


class _Nowhere:
    """The store of slots that nobody has."""

    async def work(self, ops: Sequence[object]) -> list[Outcome]:
        raise StoreUnavailable(f"{len(ops)} operations for nobody")

    async def beat(self) -> int:
        raise StoreUnavailable("nobody has these keys")

    async def peek(self, queries: Sequence[Query]) -> list[tuple[int, int]]:
        raise StoreUnavailable(f"nobody has these {len(queries)} keys")


def _unanswered(item: Waiting) -> None:
    if not item.reply.done():
        item.reply.set_result(None)


def _key_of(item: Item) -> str:
    return some_key(item.op if isinstance(item, Waiting) else item)


async def _served(batcher: Batcher, close: Callable[[], Awaitable[object]]) -> None:
    try:
        await batcher.serve()
    finally:
        await close()


def surroundings(cluster: Cluster, gateway_id: str) -> Surroundings:
    """Of real nodes. Reads a file of this package."""
    code = library_code()

    def open_node(address: str) -> tuple[LimitStore, Callable[[], Awaitable[object]]]:
        client = limit_client(cluster.url_of(address))
        return NodeLimits(client, gateway_id, code), client.aclose

    async def ask(address: str) -> Topology:
        try:
            # The clock is inside: what cuts the closing short leaves a connection open for ever.
            async with limit_client(cluster.url_of(address)) as client:
                async with asyncio.timeout(ASK_S):
                    reply = await client.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
                return topology_of(reply, address)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            raise StoreUnavailable(f"a node of the cluster shows no map: {type(error).__name__}") from error

    return Surroundings(cluster.seeds, open_node, ask)


@asynccontextmanager
async def open_cluster_lanes(
    around: Surroundings, meters: AdmissionMeters, patience: Patience | None = None, gateways: int = 1
) -> AsyncIterator[ClusterLanes]:
    """Looks at the cluster once, then serves whether it is there or not. Sends what is left to settle at the end."""
    lanes = ClusterLanes(around, meters, patience or Patience(), gateways)
    async with background(lanes.serve()) as served:
        try:
            await lanes.known()
            yield lanes
        finally:
            lanes.close()
            await asyncio.wait({served})
