"""Three gateways and a real Valkey: what one finds out the others hear, and believe less than what they see."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import RedisError

from trunkline_gateway.fleet.deployments import ACCOUNT_S, Fleet, Watch
from trunkline_gateway.fleet.meters import FleetMeters
from trunkline_gateway.fleet.news import Kind, News, Report, encode_report
from trunkline_gateway.fleet.opening import sharing_breakers
from trunkline_gateway.fleet.sharing import EVERY_S, NAME, STALE_S, Sharing
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import UpstreamError, UpstreamUnavailable
from trunkline_kit.secrets import Secret
from trunkline_kit.stores.valkey import open_valkey
from trunkline_policy import breakers
from trunkline_policy.breakers import Phase
from trunkline_policy.faults import FailureKind
from trunkline_testkit.upstream import chat_reply, error_reply

UP, SPARE = ("up", "real"), ("spare", "real")
WATCH = Watch(breaker=breakers.Terms(failures=1, open_s=20, probe_s=5), outlier=None)
STAGGER_S_MAX = 2 * EVERY_S
BROKE = UpstreamError("broke")


class Gateway:
    """A fleet whose clock shows something else than everybody's."""

    def __init__(self, client: Redis, number: int) -> None:
        self.clock = ManualClock(1000.0 * number)
        self.registry = CollectorRegistry()
        self.fleet = Fleet(self.clock, FleetMeters(self.registry))
        self.fleet.keep([UP, SPARE])
        self.sharing = Sharing(client, self.fleet, random.Random(number), f"g{number}")
        self.fleet.tell = self.sharing.tell

    def phase(self, place=UP) -> Phase:
        return self.fleet.of(place).breaker.phase(self.clock.monotonic_s())

    def fails(self, place=UP) -> None:
        self.fleet.send(place, WATCH).failed(FailureKind.BROKEN, BROKE)

    def works(self, place=UP) -> None:
        self.fleet.send(place, WATCH).answered(is_first_token=True)

    def rest_s(self, provider="up") -> float:
        now_s = self.clock.monotonic_s()
        rest = self.fleet.rest_of((provider, "real"), now_s)
        return max(rest.told_s, rest.tripped_s, now_s) - now_s


@pytest.fixture
async def client(valkey):
    async with open_valkey(valkey.url) as opened:
        yield opened


@pytest.fixture
def three(client) -> list[Gateway]:
    return [Gateway(client, number) for number in (1, 2, 3)]


@pytest.fixture
def exchanged(three) -> Callable[..., Awaitable[None]]:
    async def run(rounds: int = 2) -> None:
        for _ in range(rounds):
            for gateway in three:
                await gateway.sharing.exchange()

    return run


async def test_an_opening_is_heard_whatever_the_clocks_show(three, exchanged):
    three[0].fails()
    await exchanged()
    assert [gateway.phase() for gateway in three] == [Phase.OPEN] * 3
    assert 19 < three[0].rest_s() <= 20
    assert all(20 < gateway.rest_s() <= 20 + STAGGER_S_MAX for gateway in three[1:]), "who saw it probes first"
    assert three[1].phase(SPARE) is Phase.CLOSED


async def test_a_probe_that_works_closes_it_for_those_who_only_heard(three, exchanged):
    three[0].fails()
    await exchanged()
    for gateway in three:
        gateway.clock.advance(20)
    assert [gateway.phase() for gateway in three] == [Phase.HALF_OPEN, Phase.OPEN, Phase.OPEN]
    three[0].works()
    await exchanged()
    assert [gateway.phase() for gateway in three] == [Phase.CLOSED] * 3


async def test_a_probe_that_fails_does_not_keep_the_others_out_for_longer(three, exchanged):
    three[0].fails()
    await exchanged()
    for gateway in three:
        gateway.clock.advance(20)
    three[0].fails()
    await exchanged()
    assert three[0].rest_s() > 39, "twice as long"
    assert all(gateway.rest_s() <= STAGGER_S_MAX for gateway in three[1:]), "it may be cut off: they try for themselves"
    for gateway in three:
        gateway.clock.advance(STAGGER_S_MAX)
    three[1].works()
    three[2].fails()
    await exchanged()
    assert [gateway.phase() for gateway in three] == [Phase.OPEN, Phase.CLOSED, Phase.OPEN]


async def test_who_saw_it_work_since_does_not_believe_it(three, exchanged):
    three[0].fails()
    three[1].clock.advance(1)
    three[1].works()
    await exchanged()
    assert [gateway.phase() for gateway in three] == [Phase.OPEN, Phase.CLOSED, Phase.OPEN]
    value = three[1].registry.get_sample_value
    assert value("trunkline_gateway_fleet_hints_total", {"kind": "opened", "result": "ignored"}) == 1
    assert value("trunkline_gateway_breaker_openings_total", {"provider": "up", "model": "real"}) is None


async def test_who_finds_it_working_although_it_heard_otherwise_goes_on(three, exchanged):
    three[0].fails()
    await exchanged()
    three[1].clock.advance(0.001)
    three[1].works()
    await exchanged()
    assert three[1].phase() is Phase.CLOSED
    assert three[0].phase() is Phase.OPEN, "it may be out of reach from there alone"
    assert three[2].phase() is Phase.CLOSED


async def test_what_one_saw_fail_itself_is_not_closed_by_others(three, exchanged):
    three[0].fails()
    three[1].fails()
    await exchanged()
    for gateway in three:
        gateway.clock.advance(19)
    three[2].works()
    await exchanged()
    assert [gateway.phase() for gateway in three] == [Phase.OPEN, Phase.OPEN, Phase.CLOSED]


async def test_an_account_is_left_alone_by_all(three, exchanged):
    refused = UpstreamUnavailable("no credit")
    three[0].fleet.send(UP, WATCH).failed(FailureKind.ACCOUNT, refused)
    await exchanged()
    assert all(ACCOUNT_S - 1 < gateway.rest_s() <= ACCOUNT_S for gateway in three)
    assert three[1].rest_s("spare") == 0
    assert "no credit left" in three[1].fleet.refusal([UP]).message
    assert three[0].fleet.refusal([UP]).message.startswith("no credit;")


async def test_an_account_that_has_worked_here_since_is_not(three, exchanged):
    three[0].fleet.send(UP, WATCH).failed(FailureKind.ACCOUNT, UpstreamUnavailable("no credit"))
    three[1].clock.advance(1)
    three[1].works()
    await exchanged()
    assert (three[1].rest_s(), three[2].rest_s() > 0) == (0, True)


async def test_places_of_another_configuration_are_nobodys_business(three, exchanged):
    for gateway in three[1:]:
        gateway.fleet.keep([SPARE])
    three[0].fails()
    three[0].fleet.cool_account("up", BROKE, 10)
    await exchanged()
    assert list(three[1].fleet.states()) == []
    assert three[1].rest_s() == 0


async def test_news_go_when_they_are_old_and_what_is_no_news_goes_at_once(three, exchanged, client):
    await client.hset(NAME, b"nonsense", b"?")
    old = News(Kind.OPENED, UP, -100, -2 * STALE_S).moved(await _server_s(client))
    recent = News(Kind.OPENED, SPARE, -100, -1).moved(await _server_s(client))
    for news in (old, recent):
        await client.hset(NAME, news.subject, encode_report(Report("gone", news)))
    await exchanged()
    assert await client.hkeys(NAME) == [recent.subject]
    assert three[0].phase(SPARE) is Phase.CLOSED, "it is over"


async def _server_s(client):
    seconds, micros = await client.time()
    return seconds + micros / 1e6


async def test_without_valkey_everything_goes_on_and_is_said_when_it_is_back(three, exchanged, valkey):
    valkey.stop()
    three[0].fails()
    with pytest.raises((RedisError, OSError)):
        await three[0].sharing.exchange()
    assert three[0].phase() is Phase.OPEN
    valkey.start()
    await exchanged()
    assert [gateway.phase() for gateway in three] == [Phase.OPEN] * 3


async def test_it_runs_beside_a_gateway_and_says_when_it_cannot(three, valkey, client, caplog):
    fleet, value = three[2].fleet, three[2].registry.get_sample_value
    three[0].fails()
    await three[0].sharing.exchange()
    async with sharing_breakers(Secret(valkey.url), fleet):
        await _until(lambda: three[2].phase() is Phase.OPEN)
        assert value("trunkline_gateway_fleet_sharing_up") == 1
        valkey.stop()
        three[2].fails(SPARE)
        await _until(lambda: value("trunkline_gateway_fleet_sharing_up") == 0)
    assert "each gateway finds out for itself" in caplog.text


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a metric has no event
            await asyncio.sleep(0.005)


async def test_a_gateway_starts_and_answers_without_any_node_of_its_cluster(open_harness, upstream, single):
    harness = await open_harness({**single(upstream), "stores": {"redis": "redis://127.0.0.1:9/?cluster=true"}})
    ask = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
    await _until(lambda: harness.metric("trunkline_gateway_fleet_sharing_up") == 0)
    assert (await harness.post("/v1/chat/completions", ask)).status == 200


async def test_two_gateways_over_http(open_harness, upstream, backup, valkey):
    upstream.replies(error_reply(500), error_reply(500))
    tree = {
        "stores": {"redis": valkey.url},
        "providers": {
            "up": {"kind": "openai", "base_url": upstream.base_url},
            "spare": {"kind": "openai", "base_url": backup.base_url},
        },
        "models": {
            "fake": {
                "deployments": [{"provider": "up", "model": "real"}],
                "fallbacks": {"on_error": ["spare"]},
                "breaker": {"failures": 2, "open_s": 60},
                "retries": {"max_attempts": 2},
            },
            "spare": {"deployments": [{"provider": "spare", "model": "real"}]},
        },
    }
    backup.replies(*[chat_reply("from the spare")] * 3)
    one, two = await open_harness(dict(tree)), await open_harness(dict(tree))
    ask = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
    for _ in range(2):
        assert (await one.post("/v1/chat/completions", ask)).headers["x-trunkline-provider"] == "spare"
    labels = {"provider": "up", "model": "real", "state": "open"}
    await _until(lambda: two.metric("trunkline_gateway_breaker_state", **labels) == 1)
    assert (await two.post("/v1/chat/completions", ask)).headers["x-trunkline-provider"] == "spare"
    assert len(upstream.requests) == 2
