"""Who the replicas of a model are, how they come and go, and who is picked."""

import asyncio

import grpc
import pytest

from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.replicas.endpoint_slices import Members
from trunkline_gateway.replicas.pool import SWEEP_S
from trunkline_gateway.replicas.prefixes import BLOCK_BYTES, chain_of
from trunkline_gateway.replicas.replica import IN_FLIGHT_MAX, LOST_S, OUTLIER, State, Wanted
from trunkline_policy import outliers
from trunkline_policy.faults import FailureKind

WANTED = Wanted(prompt_bytes=400, tokens=100.0, text_bytes=400)


class Led:
    """A source that a test leads."""

    def __init__(self, *ready):
        self.ready = ready
        self.tell = None

    async def follow(self, tell):
        self.tell = lambda *ready, ending=(): tell(Members(frozenset(ready), frozenset(ending)))
        if self.ready:
            self.tell(*self.ready)
        await asyncio.Event().wait()


def wanted(letter, blocks=40):
    """A prompt of some thousand tokens."""
    prompt = letter.encode() * (BLOCK_BYTES * blocks)
    return Wanted(prompt_bytes=len(prompt), tokens=len(prompt) / 4, chain=chain_of(b"t", b"", prompt), key=prompt[:64])


def named(pool, name):
    return next(replica for replica in pool.replicas if replica.address == f"local:{name}")


async def test_the_same_beginning_goes_where_it_went_until_that_is_too_busy(place):
    pool = await place.opened("a", "b", "c", "d")
    first = pool.pick(wanted("x"))
    home = first.replica
    flights = [pool.pick(wanted("x")) for _ in range(20)]
    assert {flight.replica for flight in flights} == {home}, "to wait for it there is as soon as to read it elsewhere"
    assert home not in {pool.pick(wanted(letter)).replica for letter in "yzv"}
    home.sent_tokens += 9000.0
    assert pool.pick(wanted("x")).replica is not home


@pytest.mark.parametrize(("balance", "used"), [("round_robin", 3), ("hash", 1)])
async def test_other_rules(place, balance, used):
    pool = await place.opened("a", "b", "c", balance=balance)
    picked = []
    for _ in range(6):
        flight = pool.pick(wanted("x"))
        picked.append(flight.replica.address)
        flight.over(complete=False)
    assert len(set(picked)) == used


async def test_nobody_gets_work_that_drains_leaves_or_was_not_heard_of(place):
    source = Led("local:a", "local:b")
    await place.serve("a")
    await place.serve("b")
    pool = await place.open(source)
    await place.until(lambda: place.states(pool) == [State.READY] * 2)
    place.workers["a"].say(draining=True)
    await place.until(lambda: named(pool, "a").drains)
    assert {pool.pick(WANTED).replica.address for _ in range(9)} == {"local:b"}
    source.tell("local:a", "local:b", "local:c")
    await place.until(lambda: len(pool.replicas) == 3)
    assert {pool.pick(WANTED).replica.address for _ in range(9)} == {"local:b"}, "c has not said that it is there"
    place.workers["a"].say()
    await place.until(lambda: not named(pool, "a").drains)
    assert {pool.pick(WANTED).replica.address for _ in range(30)} == {"local:a", "local:b"}
    assert pool.standing == 2


async def test_a_replica_that_joins_gets_work_and_one_that_left_is_forgotten(place):
    source = Led("local:a")
    for name in "ab":
        await place.serve(name)
    pool = await place.open(source)
    await place.until(lambda: place.states(pool) == [State.READY])
    flight = pool.pick(WANTED)
    source.tell("local:b", ending=["local:a"])
    await place.until(lambda: place.states(pool) == [State.LEAVING, State.READY])
    assert {pool.pick(WANTED).replica.address for _ in range(9)} == {"local:b"}
    place.workers["a"].say()
    await asyncio.sleep(0.01)
    assert len(pool.replicas) == 2, "it still has something of ours"
    flight.over(complete=True)
    place.workers["a"].say()
    await place.until(lambda: len(pool.replicas) == 1)


async def test_one_that_comes_back_while_it_ends_is_there_again(place):
    source = Led("local:a")
    await place.serve("a")
    pool = await place.open(source)
    await place.until(lambda: place.states(pool) == [State.READY])
    flight = pool.pick(WANTED)
    source.tell()
    await place.until(lambda: place.states(pool) == [State.LEAVING])
    with pytest.raises(AttemptFailed, match="can take this now"):
        pool.pick(WANTED)
    source.tell("local:a")
    await place.until(lambda: place.states(pool) == [State.READY])
    flight.over(complete=True)
    assert pool.pick(WANTED).replica.address == "local:a"


async def test_a_worker_that_is_stopped_is_lost_and_asked_only_when_nobody_else_is_left(place):
    stack = await place.serve("a")
    await place.serve("b")
    pool = await place.open(Led("local:a", "local:b"))
    await place.until(lambda: place.states(pool) == [State.READY] * 2)
    named(pool, "a").prefixes.add(wanted("x").chain)
    await stack.aclose()
    await place.until(lambda: named(pool, "a").state(0.0) is State.LOST)
    assert len(named(pool, "a").prefixes) == 0
    assert {pool.pick(WANTED).replica.address for _ in range(9)} == {"local:b"}
    assert pool.pick(WANTED, [named(pool, "b")]).replica.address == "local:a"
    await place.serve("a")
    await place.until(lambda: place.states(pool) == [State.READY] * 2)


async def test_a_worker_that_ends_its_reports_is_about_to_stop(place):
    pool = await place.opened("a")
    place.workers["a"].loads.put_nowait(None)
    await place.until(lambda: place.states(pool) == [State.LEAVING])


async def test_a_worker_without_reports_gets_work(place):
    pool = await place.opened("a")
    pool._note(named(pool, "a"), grpc.StatusCode.UNIMPLEMENTED)
    named(pool, "a").load = None
    assert place.states(pool) == [State.READY]


async def test_one_that_says_nothing_any_more_is_given_up_at_the_second_look(place):
    pool = await place.opened("a", "b")
    place.clock.advance(LOST_S + SWEEP_S)
    place.workers["b"].say(running=1)
    await place.until(lambda: named(pool, "b").load.running == 1)
    pool.sweep()
    assert place.states(pool) == [State.READY] * 2, "it may have been us who did not listen"
    pool.sweep()
    assert place.states(pool) == [State.LOST, State.READY]
    place.workers["a"].say(running=2)
    await place.until(lambda: place.states(pool) == [State.READY] * 2)


async def test_nobody_has_more_than_they_may(place):
    pool = await place.opened("a")
    flights = [pool.pick(WANTED) for _ in range(IN_FLIGHT_MAX)]
    with pytest.raises(AttemptFailed, match=f"{IN_FLIGHT_MAX} requests") as refused:
        pool.pick(WANTED)
    assert refused.value.kind is FailureKind.LIMITED
    flights.pop().over(complete=False)
    assert pool.pick(WANTED).replica.address == "local:a"


async def test_nobody_knows_where_they_are(place):
    pool = await place.open(Led())
    with pytest.raises(AttemptFailed, match="nobody says where the workers of model 'm' at provider 'w' are"):
        await pool.ready(0.01)
    pool._source.tell()
    await pool.ready(1.0)
    await pool.ready(0.0)
    with pytest.raises(AttemptFailed, match="no worker of model 'm'") as refused:
        pool.pick(WANTED)
    assert refused.value.kind is FailureKind.BROKEN


def fill(place, replica, *, ok, took_s=0.1, times=30):
    """What one replica did lately."""
    for _ in range(times):
        replica.record = outliers.seen(
            replica.record, place.clock.monotonic_s(), OUTLIER, ok=ok, first_token_s=took_s if ok else None
        )


async def test_one_that_does_markedly_worse_is_put_out_for_a_while(place):
    pool = await place.opened("a", "b", "c")
    bad, *others = pool.replicas
    fill(place, bad, ok=False)
    for other in others:
        fill(place, other, ok=True)
    pool.judge(others[0])
    assert place.states(pool) == [State.READY] * 3
    pool.judge(bad)
    pool.judge(bad)
    assert place.states(pool)[0] is State.EJECTED
    assert place.count("trunkline_gateway_replica_ejections_total") == 1
    assert bad not in {pool.pick(WANTED).replica for _ in range(20)}
    fill(place, others[0], ok=False, times=90)
    pool.judge(others[0])
    assert place.states(pool)[1] is State.READY, "half of them must stay"


async def test_tokens_are_learnt_from_what_workers_count(place):
    pool = await place.opened("a")
    assert pool.tokens_per_byte == 0.25
    for _ in range(200):
        pool.learn(WANTED, 200)
    assert pool.tokens_per_byte == pytest.approx(0.5, abs=0.01)
    pool.learn(Wanted(prompt_bytes=9, tokens=9.0), 5)
    pool.learn(WANTED, 0)
    assert pool.tokens_per_byte == pytest.approx(0.5, abs=0.01)


async def test_states_are_counted_as_long_as_the_pool_works(place):
    pool = await place.opened("a", "b")
    assert place.count("trunkline_gateway_replicas", state="ready") == 2
    assert place.count("trunkline_gateway_replicas", state="lost") == 0
    assert pool.census()[0] == ("w", "m")
    await place.stack.aclose()
    assert (
        place.registry.get_sample_value("trunkline_gateway_replicas", {"provider": "w", "model": "m", "state": "ready"})
        is None
    )
