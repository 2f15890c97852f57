"""The mirror's promises to whoever follows it, over a source that a test has in hand."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from trunkline_gateway.directory.mirror import Mirror
from trunkline_gateway.directory.objects import Changes, Item, Kind
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.tenants import Team

FOREVER_S = 3600.0


class Source:
    """A directory with one team, whose weight is the revision."""

    def __init__(self):
        self.revision = 0
        self.failure = None
        self.asked = []

    async def changes(self, since=None):
        self.asked.append(since)
        if self.failure is not None:
            raise self.failure
        if since is not None and since.revision == self.revision:
            return Changes(revision=self.revision, mark=since.mark)
        team = Item(kind=Kind.TEAM, id="t", spec=Team(weight=self.revision + 1), version=self.revision)
        return Changes(revision=self.revision, mark=f"m{self.revision}", whole=since is None, items=(team,))


class Taker:
    """Whoever follows: takes snapshots when it is let, and may fail."""

    def __init__(self):
        self.taken = []
        self.failures = 0
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.at_once = 0

    async def take(self, snapshot):
        self.at_once += 1
        assert self.at_once == 1, "one at a time"
        try:
            self.began.set()
            await self.go_on.wait()
            if self.failures:
                self.failures -= 1
                raise ValueError("not today")
            self.taken.append(snapshot.revision)
        finally:
            self.at_once -= 1


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def taker():
    return Taker()


class Bell:
    """Announcements of changes, rung by the test."""

    def __init__(self):
        self.ring = lambda: None
        self.ended = False

    async def listen(self, heard):
        self.ring = heard
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


@asynccontextmanager
async def followed(source, clock, taker, poll_s=FOREVER_S, bell=None):
    mirror = Mirror(source, clock, poll_s=poll_s, listen=bell.listen if bell else None)
    await mirror.load()
    async with mirror.following(taker.take):
        await mirror.refresh()
        yield mirror


async def test_nothing_is_known_before_the_database_answers(source, clock):
    source.failure = StoreUnavailable("away")
    mirror = Mirror(source, clock)
    with pytest.raises(StoreUnavailable):
        await mirror.load()
    assert (mirror.loaded, mirror.age_s, mirror.snapshot.revision) == (False, float("inf"), 0)
    source.failure = None
    await mirror.refresh()
    assert (mirror.loaded, mirror.age_s) == (True, 0)
    clock.advance(7)
    assert mirror.age_s == 7
    source.failure = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await mirror.refresh()
    assert (mirror.age_s, mirror.loaded) == (7, True)


async def test_what_is_known_at_the_beginning_is_not_told_again(source, clock, taker):
    async with followed(source, clock, taker) as mirror:
        assert taker.taken == []
        source.revision = 1
        await mirror.refresh()
        assert taker.taken == [1]
        await mirror.refresh()
        assert taker.taken == [1]
        assert mirror.snapshot.of(Kind.TEAM)["t"].spec.weight == 2
    assert (source.asked[0], source.asked[-1].revision) == (None, 1)


async def test_a_database_that_comes_later_is_told(source, clock, taker):
    source.failure = StoreUnavailable("away")
    mirror = Mirror(source, clock, poll_s=0.01)
    async with mirror.following(taker.take):
        source.failure = None
        await taker.began.wait()
    assert taker.taken == [0]


async def test_an_announcement_is_followed_at_once(source, clock, taker):
    bell = Bell()
    async with followed(source, clock, taker, bell=bell):
        source.revision = 1
        bell.ring()
        await taker.began.wait()
        assert taker.taken == [1]
    assert bell.ended


async def test_without_announcements_the_poll_finds_it(source, clock, taker):
    async with followed(source, clock, taker, poll_s=0.01):
        source.revision = 1
        await taker.began.wait()
    assert taker.taken == [1]


async def test_a_slow_follower_gets_the_newest_of_what_came_meanwhile(source, clock, taker):
    async with followed(source, clock, taker) as mirror:
        taker.go_on.clear()
        async with asyncio.TaskGroup() as group:
            for revision in (1, 2, 3):
                source.revision = revision
                group.create_task(mirror.refresh())
                await taker.began.wait()
            taker.go_on.set()
    assert taker.taken == [1, 3]


async def test_a_refresh_sees_what_was_committed_before_it(source, clock, taker):
    """Also when one is under way that began earlier."""
    async with followed(source, clock, taker) as mirror:
        taker.go_on.clear()
        source.revision = 1
        async with asyncio.TaskGroup() as group:
            group.create_task(mirror.refresh())
            await taker.began.wait()
            source.revision = 2
            second = group.create_task(mirror.refresh())
            await asyncio.sleep(0)
            taker.go_on.set()
            await second
            assert mirror.snapshot.revision == taker.taken[-1] == 2


async def test_a_follower_that_fails_is_told_again(source, clock, taker, caplog):
    async with followed(source, clock, taker) as mirror:
        taker.failures = 2
        source.revision = 1
        for age_s in (5, 10):
            clock.advance(5)
            with pytest.raises(StoreUnavailable, match="could not be put into force"):
                await mirror.refresh()
            assert mirror.age_s == age_s, "what is in force is of before"
        await mirror.refresh()
        assert mirror.age_s == 0
    assert taker.taken == [1]
    assert caplog.text.count("revision 1 could not be put into force") == 2
    assert "not today" in caplog.text


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), KeyError("a fault of ours")])
async def test_a_failure_is_said_once_and_recovered_from(source, clock, taker, caplog, failure):
    caplog.set_level("INFO")
    async with followed(source, clock, taker) as mirror:
        source.failure = failure
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await mirror.refresh()
        assert sum(record.levelname in {"WARNING", "ERROR"} for record in caplog.records) == 1
        source.failure, source.revision = None, 1
        await mirror.refresh()
    assert caplog.text.count("changes are seen again, at revision 1") == 1
    assert taker.taken == [1]


async def test_who_waits_when_it_stops_is_told(source, clock, taker):
    mirror = Mirror(source, clock, poll_s=FOREVER_S)
    async with asyncio.TaskGroup() as group, mirror.following(taker.take):
        await mirror.refresh()
        taker.began.clear()
        taker.go_on.clear()
        source.revision = 1
        waiting = [group.create_task(_failure(mirror)) for _ in range(2)]
        await taker.began.wait()
        waiting.append(group.create_task(_failure(mirror)))
        await asyncio.sleep(0)
    assert ["stopping" in task.result() for task in waiting] == [True] * 3


async def _failure(mirror):
    try:
        await mirror.refresh()
    except StoreUnavailable as error:
        return error.message
    return ""


async def test_who_no_longer_waits_harms_nobody(source, clock, taker):
    async with followed(source, clock, taker) as mirror:
        taker.go_on.clear()
        source.revision = 1
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(mirror.refresh())
            await taker.began.wait()
            gone.cancel()
            await asyncio.wait([gone])
            taker.go_on.set()
            await mirror.refresh()
    assert taker.taken == [1], "the follower was not cancelled with it"
