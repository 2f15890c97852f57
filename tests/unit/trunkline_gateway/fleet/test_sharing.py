"""What gateways make of each other's news, and that no fault in the telling ends one."""

import asyncio
import random

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.fleet.deployments import Fleet, Watch
from trunkline_gateway.fleet.meters import FleetMeters
from trunkline_gateway.fleet.news import Kind, News
from trunkline_gateway.fleet.opening import sharing_breakers
from trunkline_gateway.fleet.sharing import Sharing
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import UpstreamError
from trunkline_kit.lifecycle import background
from trunkline_kit.secrets import Secret
from trunkline_policy import breakers
from trunkline_policy.faults import FailureKind

UP = ("up", "real")
WATCH = Watch(breaker=breakers.Terms(failures=1, open_s=5, open_s_max=60, probe_s=5), outlier=None)
STAGGER_S = 1.5
SAY = "each gateway finds out for itself"


def fleet_of(clock, registry):
    fleet = Fleet(clock, FleetMeters(registry))
    fleet.keep([UP])
    return fleet


def asks(fleet, *, works):
    """Whether it may."""
    rest = fleet.rest_of(UP, fleet.clock.monotonic_s())
    if rest.told_s or rest.tripped_s:
        return False
    flight = fleet.send(UP, WATCH)
    if works:
        flight.answered(is_first_token=True)
    else:
        flight.failed(FailureKind.BROKEN, UpstreamError("broke"))
    flight.landed()
    return True


class Pair:
    """Two gateways that hear each other at once. Only the second one reaches the provider."""

    def __init__(self):
        self.clock = ManualClock(1000.0)
        self.cut_off, self.healthy = (fleet_of(self.clock, CollectorRegistry()) for _ in range(2))
        self.cut_off.tell = lambda news: self._told(self.healthy, news)
        self.healthy.tell = lambda news: self._told(self.cut_off, news)

    def _told(self, fleet, news):
        wait_s = STAGGER_S if news.kind is Kind.OPENED else 0.0
        fleet.hear(News(news.kind, news.place, news.at_s, news.until_s + wait_s))


@pytest.mark.parametrize("has_worked", [False, True])
def test_a_gateway_that_is_cut_off_keeps_others_out_only_until_they_have_tried(has_worked):
    pair, refused_s, sent = Pair(), [], 0
    if has_worked:
        asks(pair.healthy, works=True)
    for step in range(600):
        pair.clock.advance(1)
        sent += asks(pair.cut_off, works=False)
        if step % 5 == 4 and not asks(pair.healthy, works=True):
            refused_s.append(step)
    assert sent > 8, "its probes go on failing, and it tells"
    assert refused_s == [4], "once, and not again as long as that lasts"


def test_an_outage_that_all_see_is_probed_by_each_and_over_for_each_by_itself():
    pair = Pair()
    for _ in range(200):
        pair.clock.advance(1)
        asks(pair.cut_off, works=False)
        asks(pair.healthy, works=False)
    now_s = pair.clock.monotonic_s()
    assert pair.healthy.of(UP).breaker.openings > 3
    assert not pair.healthy.of(UP).is_hearsay
    assert pair.healthy.rest_of(UP, now_s).tripped_s <= now_s + WATCH.breaker.open_s_max


async def _until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a metric has no event
            await asyncio.sleep(0.001)


async def test_a_cluster_of_which_no_node_can_be_reached_is_said_and_nothing_more(caplog):
    registry = CollectorRegistry()
    fleet = fleet_of(ManualClock(), registry)
    fleet.meters.sharing_up.set(1)
    async with sharing_breakers(Secret("redis://127.0.0.1:9/?cluster=true"), fleet):
        await _until(lambda: SAY in caplog.text)
    assert registry.get_sample_value("trunkline_gateway_fleet_sharing_up") == 0
    assert "unforeseen" not in caplog.text


class Odd:
    """A client with a fault."""

    def __init__(self):
        self.asked = 0

    async def time(self):
        self.asked += 1
        raise LookupError("a fault")


async def test_a_fault_in_the_telling_does_not_end_the_gateway_and_is_logged_once(caplog):
    client, fleet = Odd(), fleet_of(ManualClock(), CollectorRegistry())
    sharing = Sharing(client, fleet, random.Random(1))
    async with background(sharing.run()):
        await _until(lambda: client.asked)
        sharing.tell(News(Kind.OPENED, UP, 0.0, 5.0))
        await _until(lambda: client.asked > 1)
    assert caplog.text.count("failed unforeseen") == 1
