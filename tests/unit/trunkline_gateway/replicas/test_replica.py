"""One replica: what it says, what we sent, and how that ends."""

import gc

import pytest
from msgspec import structs

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_gateway.replicas.prefixes import BLOCK_BYTES, chain_of
from trunkline_gateway.replicas.replica import LOST_S, OUTLIER, STALE_S, Flight, Replica, State, Wanted
from trunkline_kit.clock import ManualClock

PROMPT = bytes(BLOCK_BYTES * 4)
WANTED = Wanted(prompt_bytes=len(PROMPT), tokens=256.0, chain=chain_of(b"t", b"", PROMPT))
REPORT = pb.GetLoadResponse(max_running=4, prefill_tokens_per_s=100, prefix_cache_tokens=10_000)


class Call:
    """What a flight can cancel."""

    cancelled = False

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def replica(clock):
    made = Replica("10.0.0.1:9090", None, clock)
    made.report(REPORT)
    return made


def test_states_in_their_order(clock):
    made = Replica("a", None, clock)
    assert made.state(clock.monotonic_s()) is State.UNHEARD
    made.report(REPORT)
    assert made.state(clock.monotonic_s()) is State.READY
    for _ in range(3):
        Flight(made, WANTED).failed()
    assert made.state(clock.monotonic_s()) is State.EJECTED
    made.lose(memory_too=True)
    assert made.state(clock.monotonic_s()) is State.LOST
    made.report(REPORT)
    assert made.state(clock.monotonic_s()) is State.READY, "it is there again: nobody waits for its breaker"
    made.report(pb.GetLoadResponse(draining=True))
    assert made.state(clock.monotonic_s()) is State.LEAVING
    made.lose(memory_too=False)
    assert made.state(clock.monotonic_s()) is State.LOST
    made.removed = True
    assert made.state(clock.monotonic_s()) is State.LEAVING


def test_a_worker_without_reports_is_ready(clock):
    made = Replica("a", None, clock)
    made.speaks = False
    assert made.state(clock.monotonic_s()) is State.READY
    assert made.seen(WANTED, clock.monotonic_s()).load is None


def test_an_old_report_is_not_known(replica, clock):
    clock.advance(STALE_S)
    assert replica.seen(WANTED, clock.monotonic_s()).load is not None
    clock.advance(0.01)
    assert replica.seen(WANTED, clock.monotonic_s()).load is None
    assert not replica.is_quiet()
    clock.advance(LOST_S)
    assert replica.is_quiet()


def test_what_is_sent_counts_until_it_is_read_and_reported(replica, clock):
    flight = Flight(replica, WANTED)
    seen = replica.seen(WANTED, clock.monotonic_s())
    assert (seen.sent, seen.sent_tokens, seen.unread_tokens, seen.in_flight) == (1, 256.0, 256.0, 1)
    assert seen.hit_tokens == 256.0, "it is there as soon as it is sent"
    replica.report(REPORT)
    seen = replica.seen(WANTED, clock.monotonic_s())
    assert (seen.sent, seen.sent_tokens, seen.unread_tokens) == (0, 0.0, 256.0)
    clock.advance(1.0)
    flight.begun()
    flight.begun()
    assert replica.unread_tokens == 0.0
    clock.advance(3.0)
    flight.over(complete=True)
    flight.over(complete=True)
    assert (replica.in_flight, replica.request_s, replica.stay_s) == (0, 3.0, 4.0)


def test_the_oldest_that_we_wait_for_may_be_half_read(replica, clock):
    other = structs.replace(WANTED, tokens=100.0, chain=())
    flights = [Flight(replica, WANTED), Flight(replica, other), Flight(replica, other)]
    seen = replica.seen(WANTED, clock.monotonic_s())
    assert (seen.unread_tokens, seen.first_tokens) == (456.0, 256.0)
    flights[0].begun()
    clock.advance(0.5)
    seen = replica.seen(WANTED, clock.monotonic_s())
    assert (seen.unread_tokens, seen.first_tokens, seen.load.age_s) == (200.0, 100.0, 0.5)


def test_a_prompt_that_is_there_is_little_work(replica):
    first, second = Flight(replica, WANTED), Flight(replica, WANTED)
    assert replica.sent_tokens == 256.0
    first.over(complete=False)
    second.over(complete=False)
    assert (replica.unread_tokens, replica.in_flight, replica.request_s) == (0.0, 0, 0.0)


def test_a_cache_that_keeps_nothing_is_not_counted_on(replica, clock):
    Flight(replica, WANTED).over(complete=False)
    replica.report(pb.GetLoadResponse(max_running=4))
    assert replica.seen(WANTED, clock.monotonic_s()).hit_tokens == 0.0


def test_a_flight_that_nobody_holds_is_over(replica):
    Flight(replica, WANTED)
    gc.collect()
    assert (replica.in_flight, replica.unread_tokens) == (0, 0.0)


def test_what_a_lost_replica_has_not_begun_is_taken_away(replica):
    waiting, begun, unsent = Flight(replica, WANTED), Flight(replica, WANTED), Flight(replica, WANTED)
    waiting.call, begun.call = Call(), Call()
    begun.begun()
    replica.lose(memory_too=False)
    assert (waiting.revoked, waiting.call.cancelled) == (True, True)
    assert (begun.revoked, begun.call.cancelled) == (False, False)
    assert unsent.revoked
    assert replica.load is not None
    replica.lose(memory_too=True)
    assert (replica.load, len(replica.prefixes)) == (None, 0)


def test_failures_are_remembered_for_comparison(replica, clock):
    for _ in range(5):
        flight = Flight(replica, WANTED)
        clock.advance(0.5)
        flight.begun()
        flight.over(complete=True)
    Flight(replica, WANTED).failed()
    record = replica.record
    assert record.volume > 5
    assert record.recent_s == pytest.approx(0.5)
    assert record.volume < OUTLIER.volume_min
