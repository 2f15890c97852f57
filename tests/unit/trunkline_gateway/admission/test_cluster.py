"""Lanes follow a cluster: scripted nodes that move slots, die and come back."""

import asyncio

import pytest

from trunkline_gateway.admission.batching import Patience
from trunkline_gateway.admission.cluster import HOPS_MAX, Surroundings, open_cluster_lanes
from trunkline_gateway.admission.slots import SLOTS, Span, Topology, slot_of
from trunkline_gateway.admission.store import Elsewhere
from trunkline_gateway.admission.wire import Admit, Claim, Kind, Outcome, Settle
from trunkline_kit.errors import StoreUnavailable

HALF = SLOTS // 2


def tag_in(first, last):
    """A hash tag of one of these slots."""
    return next(tag for number in range(10**6) if first <= slot_of(tag := f"{{{number}}}") <= last)


LOW, HIGH = tag_in(0, HALF - 1), tag_in(HALF, SLOTS - 1)


class Node:
    """Does what it is asked for keys of its slots, and sends the rest to whoever it thinks has them."""

    def __init__(self, world, address):
        self.world, self.address = world, address
        self.done, self.closed = [], False

    async def work(self, ops):
        if self.address in self.world.dead:
            raise StoreUnavailable(f"{self.address} is dead")
        found = []
        for op in ops:
            owner = self.world.owner(op.lease_key)
            if owner == self.address:
                self.done.append(op.lease_key)
                found.append(Outcome(0, 0, 1))
            else:
                found.append(Elsewhere(owner))
        return found

    async def beat(self):
        if self.address in self.world.dead:
            raise StoreUnavailable(f"{self.address} is dead")
        return 2

    async def peek(self, queries):
        return [(int(self.address[-1]), 0) for _ in queries]

    async def close(self):
        self.closed = True


class World:
    """A cluster as it is, and as it says that it is."""

    def __init__(self):
        self.spans = (Span(0, HALF - 1, "a:1"), Span(HALF, SLOTS - 1, "b:2"))
        self.truth = None
        self.dead = set()
        self.nodes = {}
        self.asked = []

    def owner(self, key):
        return Topology(self.truth or self.spans).owners()[slot_of(key)]

    def open_node(self, address):
        node = self.nodes[address] = Node(self, address)
        return node, node.close

    async def ask(self, address):
        self.asked.append(address)
        if address in self.dead:
            raise StoreUnavailable("dead")
        return Topology(self.spans, ("r:9",))

    @property
    def around(self):
        return Surroundings(("seed:1", "a:1"), self.open_node, self.ask)


@pytest.fixture
def world():
    return World()


@pytest.fixture
async def lanes(world, meters):
    async with open_cluster_lanes(world.around, meters, Patience(timeout_s=0.5)) as opened:
        yield opened


def admit(tag, number=0):
    return Admit(f"tl:{tag}:lease:{number}", 1_000, (Claim(Kind.CONCURRENT, f"tl:{tag}:c", 9, 1),))


def settle(tag, number=0):
    return Settle(f"tl:{tag}:lease:{number}", 0, ())


async def until(holds):
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event for tests
            await asyncio.sleep(0.005)


async def test_each_tag_has_the_lane_of_its_slot(world, lanes):
    assert lanes.check() == "shared by 2 gateways, 2 primaries"
    for tag, address in ((LOW, "a:1"), (HIGH, "b:2")):
        assert (await lanes.lane(tag).admit(admit(tag))).refused == 0
        assert world.nodes[address].done == [admit(tag).lease_key]
        assert await lanes.lane(tag).peek([None]) == [(int(address[-1]), 0)]


async def test_what_has_moved_is_followed_before_the_map_says_so(world, lanes):
    world.truth = (Span(0, SLOTS - 1, "b:2"),)
    outcome = await lanes.lane(LOW).admit(admit(LOW))
    assert outcome.refused == 0
    assert world.nodes["b:2"].done == [admit(LOW).lease_key]


async def test_a_node_that_is_new_is_found_by_being_named(world, lanes):
    world.truth = (Span(0, HALF - 1, "c:3"), Span(HALF, SLOTS - 1, "b:2"))
    world.spans = world.truth
    outcome = await lanes.lane(LOW).admit(admit(LOW))
    assert outcome.refused == 0
    await until(lambda: world.nodes["a:1"].closed)
    assert lanes.check() == "shared by 2 gateways, 2 primaries"


async def test_nodes_that_send_each_other_in_circles_answer_nobody_for_ever(world, lanes):
    class Circle(World):
        def owner(self, key):
            return ""

    for node in world.nodes.values():
        node.world = Circle()
        node.world.owner = lambda key, node=node: "b:2" if node.address == "a:1" else "a:1"
    async with asyncio.timeout(2):
        assert await lanes.lane(LOW).admit(admit(LOW)) is None
    assert HOPS_MAX < 10


async def test_a_slot_that_is_being_moved_is_not_now_and_its_settlements_wait(world, lanes):
    world.truth = (Span(HALF, SLOTS - 1, "b:2"),)
    assert await lanes.lane(LOW).admit(admit(LOW)) is None
    assert lanes.lane(LOW).up
    lanes.lane(LOW).settle(settle(LOW, 7))
    await asyncio.sleep(0)
    world.truth = None
    await until(lambda: settle(LOW, 7).lease_key in world.nodes["a:1"].done)


async def test_a_failover_takes_the_settlements_along(world, lanes):
    world.dead.add("a:1")
    lanes.lane(LOW).settle(settle(LOW, 1))
    await until(lambda: not lanes.lane(LOW).up)
    lanes.lane(LOW).settle(settle(LOW, 2))
    assert await lanes.lane(LOW).admit(admit(LOW)) is None
    assert (await lanes.lane(HIGH).admit(admit(HIGH))).refused == 0
    with pytest.raises(StoreUnavailable, match="1 of 2 primaries"):
        lanes.check()
    world.spans = (Span(0, HALF - 1, "r:9"), Span(HALF, SLOTS - 1, "b:2"))
    await until(lambda: "r:9" in world.nodes and len(world.nodes["r:9"].done) == 2)
    assert world.nodes["r:9"].done == [settle(LOW, 1).lease_key, settle(LOW, 2).lease_key]
    assert (await lanes.lane(LOW).admit(admit(LOW))).refused == 0
    assert world.nodes["a:1"].closed


async def test_settlements_for_slots_that_nobody_has_wait_for_somebody(world, lanes):
    world.spans = (Span(HALF, SLOTS - 1, "b:2"),)
    world.dead.add("a:1")
    lanes.lane(LOW).settle(settle(LOW, 1))
    await until(lambda: "a:1" not in lanes._nodes)
    lanes.lane(LOW).settle(settle(LOW, 2))
    assert not lanes.lane(LOW).up
    world.spans = (Span(0, SLOTS - 1, "b:2"),)
    await until(lambda: len(world.nodes["b:2"].done) == 2)


async def test_it_begins_without_a_cluster_and_finds_it_by_any_seed(world, meters):
    world.dead |= {"seed:1", "a:1", "b:2"}
    around = Surroundings(("seed:1", "seed:2"), world.open_node, world.ask)
    world.dead.add("seed:2")
    async with asyncio.timeout(10), open_cluster_lanes(around, meters, gateways=3) as lanes:
        assert lanes.lane(LOW).gateways == 3
        assert await lanes.lane(LOW).admit(admit(LOW)) is None
        world.dead.clear()
        await until(lambda: lanes.lane(LOW).up and lanes.lane(HIGH).up)
        assert meters._up._value.get() == 1
    assert all(node.closed for node in world.nodes.values())


async def test_the_end_sends_what_is_left(world, meters):
    async with open_cluster_lanes(world.around, meters) as lanes:
        lanes.lane(LOW).settle(settle(LOW, 5))
    assert world.nodes["a:1"].done == [settle(LOW, 5).lease_key]
