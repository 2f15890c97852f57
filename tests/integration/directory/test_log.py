"""The log of changes in a real Postgres: who did what, in the order of commits, and nobody can alter it."""

import asyncio
import re
from datetime import datetime, timedelta

import asyncpg
import msgspec
import pytest

from trunkline_gateway.directory.objects import (
    ITEMS_PER_PAGE_MAX,
    Action,
    Actor,
    AuditQuery,
    Draft,
    Kind,
    Query,
)
from trunkline_gateway.directory.reading import CHANGES_MAX, Since
from trunkline_gateway.directory.store import DirectoryStore
from trunkline_kit.errors import Conflict, InvalidRequest
from trunkline_kit.stores.postgres import open_postgres
from trunkline_kit.tenants import KeySpec, Team
from trunkline_testkit.directory_drafts import ANN, create, draft, secret


async def test_the_log_says_who_did_what_and_nothing_of_secrets(store, pool):
    await create(store, Kind.KEY, "k", secret=secret("hidden-digest", "last"))
    await store.update(draft(Kind.KEY, "k", KeySpec(disabled=True)), ANN)
    await store.rotate("k", secret("other-digest", "next"), timedelta(0), Actor(id="bob", request_id="req-2"))
    await store.delete(Kind.KEY, "k", ANN)
    entries = (await store.audit(AuditQuery())).items
    assert [entry.id for entry in entries] == [4, 3, 2, 1]
    assert [entry.action for entry in reversed(entries)] == [
        Action.CREATE,
        Action.UPDATE,
        Action.ROTATE,
        Action.DELETE,
    ]
    created, updated, rotated, deleted = ([entry.before, entry.after] for entry in reversed(entries))
    assert created[0] is None
    assert deleted[1] is None
    before, after = (msgspec.json.decode(side) for side in updated)
    assert (before["disabled"], after["disabled"]) == (False, True)
    assert before["team"] == "default", "as people read it: with what is as by default"
    marks = [[mark["last_four"] for mark in msgspec.json.decode(side)["secrets"]] for side in rotated]
    assert marks == [["last"], ["next"]]
    assert (entries[1].actor, entries[1].request_id, entries[0].source) == ("bob", "req-2", "10.0.0.1")
    text = str(await pool.fetch("SELECT t::text FROM directory_audit t"))
    for digest in (secret("hidden-digest").digest, secret("other-digest").digest):
        assert digest.hex() not in text
        assert digest.decode() not in text


async def test_the_log_is_found_by_everything_it_says(store):
    await create(store, Kind.TEAM, "t")
    await store.update(draft(Kind.TEAM, "t", Team(weight=3)), Actor(id="bob", request_id="r"))
    await create(store, Kind.KEY, "k")
    at = {entry.id: entry.at for entry in (await store.audit(AuditQuery())).items}
    assert sorted(at.values()) == [at[1], at[2], at[3]]

    async def found(**query):
        return [entry.id for entry in (await store.audit(AuditQuery(**query))).items]

    assert await found(actor="bob") == [2]
    assert await found(action=Action.CREATE) == [3, 1]
    assert await found(kind=Kind.TEAM, object_id="t") == [2, 1]
    assert await found(since=at[2]) == [3, 2]
    assert await found(until=at[2]) == [1]
    assert await found(actor="' OR true --") == []
    first = await store.audit(AuditQuery(limit=2))
    assert first.next == "2"
    assert await found(limit=2, before=int(first.next)) == [1]
    for limit in (0, ITEMS_PER_PAGE_MAX + 1):
        with pytest.raises(InvalidRequest, match="limit"):
            await store.audit(AuditQuery(limit=limit))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE directory_audit SET actor = 'nobody'",
        "DELETE FROM directory_audit",
        "TRUNCATE directory_audit",
        "TRUNCATE {part}",
        "DELETE FROM {part} WHERE id = 1",
        "UPDATE {part} SET id = 7",
    ],
)
async def test_the_log_cannot_be_altered(store, pool, statement):
    await create(store, Kind.TEAM, "t")
    part = await pool.fetchval(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'directory_audit'::regclass"
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await pool.execute(statement.format(part=part))
    assert len((await store.audit(AuditQuery())).items) == 1


async def test_old_months_go_as_a_whole_and_the_log_goes_on(store, pool):
    await create(store, Kind.TEAM, "t")
    known = await store.changes()
    await pool.execute("SELECT directory_audit_month(now() - interval '70 days')")
    await pool.execute("SELECT directory_audit_month(now() - interval '1 day')")
    dropped = await store.drop_audit(timedelta(days=31))
    assert len(dropped) == 1
    assert re.fullmatch(r"directory_audit_\d{4}_\d{2}", dropped[0])
    assert await store.drop_audit(timedelta(days=31)) == ()
    assert len(await store.drop_audit(timedelta(days=-70))) <= 1, "the month of the last change stays"
    await create(store, Kind.TEAM, "u")
    changes = await store.changes(Since(known.revision, known.mark))
    assert (changes.whole, [item.id for item in changes.items]) == (False, ["u"])


@pytest.mark.parametrize(
    ("moment", "part", "bounds"),
    [
        ("2026-12-31T23:30:00-05:00", "directory_audit_2027_01", ("2027-01-01", "2027-02-01")),
        ("2026-12-31T23:59:59Z", "directory_audit_2026_12", ("2026-12-01", "2027-01-01")),
        ("2028-02-29T00:00:00Z", "directory_audit_2028_02", ("2028-02-01", "2028-03-01")),
    ],
)
async def test_months_are_those_of_utc_whatever_the_session_thinks(store, pool, moment, part, bounds):
    await store.prepare()
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL TIME ZONE 'America/New_York'")
        await connection.execute("SELECT directory_audit_month($1)", datetime.fromisoformat(moment))
        await connection.execute("SELECT directory_audit_month($1)", datetime.fromisoformat(moment))
        await connection.execute("SET LOCAL TIME ZONE 'UTC'")
        told = await connection.fetchval("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = $1", part)
    assert all(f"'{bound} 00:00:00+00'" in told for bound in bounds)


async def test_twenty_writers_make_a_log_without_gaps_in_the_order_of_commits(url):
    async with open_postgres(url) as pool:
        stores = [DirectoryStore(pool) for _ in range(20)]

        async def write(number):
            for step in range(4):
                await create(stores[number], Kind.TEAM, f"t{number}-{step}")
            await stores[number].delete(Kind.TEAM, f"t{number}-0", ANN)

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(write(number))
        rows = await pool.fetch("SELECT id, at FROM directory_audit ORDER BY id")
    assert [row["id"] for row in rows] == list(range(1, 101))
    assert [row["at"] for row in rows] == sorted({row["at"] for row in rows})


async def test_one_of_many_who_make_the_same_wins(store):
    async def attempt(number):
        try:
            return await create(store, Kind.KEY, "k", secret=secret(str(number)))
        except Conflict:
            return None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(attempt(number)) for number in range(8)]
    assert sum(task.result() is not None for task in tasks) == 1
    assert len((await store.get(Kind.KEY, "k")).secrets) == 1


async def test_changes_since_are_told_and_too_many_are_told_as_all(store, pool):
    everything = await store.changes()
    assert (everything.revision, everything.whole, everything.items) == (0, True, ())
    await create(store, Kind.KEY, "k")
    await create(store, Kind.TEAM, "t")
    after = await store.changes(Since(0, everything.mark))
    assert (after.revision, {item.id for item in after.items}, len(after.secrets)) == (2, {"k", "t"}, 1)
    await store.delete(Kind.KEY, "k", ANN)
    gone = await store.changes(Since(after.revision, after.mark))
    assert (gone.whole, gone.gone, gone.items, gone.secrets) == (False, ((Kind.KEY, "k"),), (), ())
    same = await store.changes(Since(gone.revision, gone.mark))
    assert (same.revision, same.whole, same.items, same.gone) == (3, False, (), ())
    for since in (Since(2, "00000000-0000-0000-0000-000000000000"), Since(99, gone.mark)):
        told = await store.changes(since)
        assert (told.whole, [item.id for item in told.items]) == (True, ["t"])
    await _pretend_changes(pool, CHANGES_MAX + 1)
    assert (await store.changes(Since(gone.revision, gone.mark))).whole


async def _pretend_changes(pool, count):
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO directory_audit (id, at, mark, actor, source, request_id, action, kind, object_id)"
            " SELECT revision + n, changed_at, mark, '', '', '', 'update', 'team', 't'"
            " FROM directory_state, generate_series(1, $1) AS n",
            count,
        )
        await connection.execute("UPDATE directory_state SET revision = revision + $1", count)


async def test_what_another_version_wrote_is_left_out_but_can_be_revoked(store, pool, caplog):
    await create(store, Kind.KEY, "new")
    await create(store, Kind.KEY, "old")
    known = await store.changes()
    for wrong in ('{"newer_restriction": true}', '{"limits": [{}]}', '{"networks": ["10.0.0.0/99"]}'):
        await pool.execute("UPDATE directory_objects SET spec = $1::text::jsonb WHERE id = 'new'", wrong)
        everything = await store.changes()
        assert [item.id for item in everything.items] == ["old"]
        assert [secret.key_id for secret in everything.secrets] == ["old"]
        assert "key 'new' cannot be read here and is left out" in caplog.text
    await pool.execute(
        "INSERT INTO directory_objects SELECT 'gadget', id, spec, 1, created_at, updated_at FROM directory_objects"
        " WHERE id = 'old'"
    )
    assert len((await store.changes()).items) == 1
    for doing in (store.get(Kind.KEY, "new"), store.update(draft(Kind.KEY, "new"), ANN)):
        with pytest.raises(Conflict, match="another version"):
            await doing
    await _pretend_change(pool, "new")
    changed = await store.changes(Since(known.revision, known.mark))
    assert (changed.items, changed.gone) == ((), ((Kind.KEY, "new"),))
    await store.delete(Kind.KEY, "new", ANN)
    assert (await store.list(Query(kind=Kind.KEY))).items[0].id == "old"


async def _pretend_change(pool, key_id):
    """A change of a key as another version would log it."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO directory_audit (id, at, mark, actor, source, request_id, action, kind, object_id)"
            " SELECT revision + 1, changed_at, mark, '', '', '', 'update', 'key', $1 FROM directory_state",
            key_id,
        )
        await connection.execute("UPDATE directory_state SET revision = revision + 1")


async def test_an_issuers_name_finds_what_all_of_its_tokens_did(store):
    for number, actor in enumerate(("okta/root@x", "okta", "okta-2", "x/okta")):
        made = Draft(kind=Kind.TEAM, id=f"t{number}", spec=Team())
        await store.create(made, Actor(id=actor, request_id="r"))

    async def of(actor):
        return [entry.actor for entry in (await store.audit(AuditQuery(actor=actor))).items]

    assert await of("okta") == ["okta", "okta/root@x"]
    assert await of("okta/root@x") == ["okta/root@x"]
    assert await of("x") == ["x/okta"]
    assert await of("%") == await of("okta/root") == []
