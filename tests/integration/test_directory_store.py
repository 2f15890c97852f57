"""The directory's store against a real Postgres: objects, secrets, and a log that nobody can alter."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline_gateway.directory.database import Database
from trunkline_gateway.directory.needs import needs_of
from trunkline_gateway.directory.objects import (
    ITEMS_PER_PAGE_MAX,
    Action,
    Actor,
    AuditQuery,
    Draft,
    Item,
    Kind,
    NewSecret,
    Query,
)
from trunkline_gateway.directory.reading import CHANGES_MAX, Since
from trunkline_gateway.directory.selection import page_of
from trunkline_gateway.directory.store import DirectoryStore
from trunkline_gateway.directory.writing import SECRETS_PER_KEY_MAX
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.errors import Conflict, InvalidRequest, ObjectNotFound, StoreUnavailable, VersionMismatch
from trunkline_kit.stores.postgres import open_postgres
from trunkline_kit.tenants import Budget, KeySpec, Limit, Org, Period, Project, Scope, Tag, Team
from trunkline_testkit.databases import new_database, running_postgres

ANN = Actor(id="ann", request_id="req-1", source="10.0.0.1")
INJECTIONS = (
    "'; DROP TABLE directory_objects; --",
    "' OR '1'='1",
    "$1",
    "%",
    "_",
    "\\",
    "a' || pg_sleep(9) || '",
    "key') UNION SELECT digest FROM directory_secrets --",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_postgres(tmp_path_factory.mktemp("pg")) as url:
        yield url


@pytest.fixture
async def url(server):
    return await new_database(server)


@pytest.fixture
async def pool(url):
    async with open_postgres(url) as opened:
        yield opened


@pytest.fixture
def store(pool):
    return DirectoryStore(pool)


def draft(kind, object_id, spec=None):
    empty = {Kind.ORG: Org(), Kind.TEAM: Team(), Kind.PROJECT: Project(), Kind.KEY: KeySpec(), Kind.TAG: Tag()}
    return Draft(kind=kind, id=object_id, spec=spec if spec is not None else empty[kind])


def secret(name, last_four="abcd"):
    return NewSecret(digest=name.encode().ljust(32, b"."), pepper_id="p1", last_four=last_four)


async def create(store, kind, object_id, spec=None, **rest):
    made = draft(kind, object_id, spec)
    rest.setdefault("secret", secret(object_id) if kind is Kind.KEY else None)
    return await store.create(made, ANN, needs=tuple(needs_of(made.spec)), **rest)


async def test_what_is_made_is_there_as_it_was_made(store):
    spec = KeySpec(
        limits=(Limit(requests=5, per_s=60),),
        budgets=(Budget(amount_usd=0.1, period=Period.MONTH, time_zone="Europe/Berlin"),),
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
        scopes=(Scope.ADMIN_READ, Scope.METRICS),
    )
    made = await create(store, Kind.KEY, "ci/build@acme", spec)
    assert made == await store.get(Kind.KEY, "ci/build@acme")
    assert made.spec == spec
    assert made.version == 1
    assert not made.declared
    assert made.created_at == made.updated_at == made.secrets[0].created_at
    assert [mark.last_four for mark in made.secrets] == ["abcd"]
    with pytest.raises(Conflict, match=r"a key 'ci/build@acme' already"):
        await create(store, Kind.KEY, "ci/build@acme", secret=secret("other"))
    with pytest.raises(ObjectNotFound):
        await store.get(Kind.TEAM, "ci/build@acme")


async def test_a_change_needs_the_version_it_was_made_from(store):
    made = await create(store, Kind.TEAM, "search")
    changed = await store.update(draft(Kind.TEAM, "search", Team(weight=2)), ANN, if_version=made.version)
    assert (changed.version, changed.spec.weight, changed.created_at) == (2, 2, made.created_at)
    assert changed.updated_at > made.updated_at
    with pytest.raises(VersionMismatch, match="at version 2, not 1"):
        await store.update(draft(Kind.TEAM, "search"), ANN, if_version=1)
    with pytest.raises(VersionMismatch):
        await store.delete(Kind.TEAM, "search", ANN, if_version=1)
    with pytest.raises(ObjectNotFound):
        await store.update(draft(Kind.TEAM, "nobody"), ANN)
    same = await store.update(draft(Kind.TEAM, "search", Team(weight=2)), ANN)
    assert same == changed, "nothing differs: nothing is written"
    assert len((await store.audit(AuditQuery())).items) == 2


async def test_a_deleted_key_is_gone_with_its_secrets_and_its_id_can_be_made_anew(store, pool):
    await create(store, Kind.KEY, "k")
    await store.delete(Kind.KEY, "k", ANN)
    assert await pool.fetchval("SELECT count(*) FROM directory_secrets") == 0
    with pytest.raises(ObjectNotFound):
        await store.delete(Kind.KEY, "k", ANN)
    again = await create(store, Kind.KEY, "k")
    assert again.version == 3
    assert len(again.secrets) == 1


async def test_what_is_needed_must_be_there_and_what_is_used_stays(store):
    for spec, param in ((KeySpec(team="t"), "team"), (KeySpec(project="p"), "project")):
        with pytest.raises(InvalidRequest) as wrong:
            await create(store, Kind.KEY, "k", spec)
        assert wrong.value.param == param
    await create(store, Kind.ORG, "o")
    await create(store, Kind.TEAM, "t", Team(org="o"))
    await create(store, Kind.PROJECT, "p", Project(team="t"))
    with pytest.raises(InvalidRequest, match="belongs to team 't', the key to 'default'"):
        await create(store, Kind.KEY, "k", KeySpec(project="p"))
    await create(store, Kind.KEY, "k", KeySpec(team="t", project="p"))
    await create(store, Kind.PRICE, "cheap", PriceOverride(provider="up", team="t", input_usd=1))
    for kind, object_id, users in (
        (Kind.ORG, "o", "team 't'"),
        (Kind.TEAM, "t", "key 'k', price 'cheap', project 'p'"),
        (Kind.PROJECT, "p", "key 'k'"),
    ):
        with pytest.raises(Conflict, match=f"still used by {users};"):
            await store.delete(kind, object_id, ANN)
    with pytest.raises(Conflict, match="cannot go to another team while it has key 'k'"):
        await store.update(draft(Kind.PROJECT, "p"), ANN)
    for kind, object_id in ((Kind.KEY, "k"), (Kind.PRICE, "cheap"), (Kind.PROJECT, "p"), (Kind.TEAM, "t")):
        await store.delete(kind, object_id, ANN)
    await store.delete(Kind.ORG, "o", ANN)


async def test_the_default_team_can_be_given_limits_and_lose_them(store):
    await create(store, Kind.TEAM, "default", Team(limits=(Limit(concurrent=1),)))
    await create(store, Kind.KEY, "k")
    await store.delete(Kind.TEAM, "default", ANN)


async def test_many_users_are_not_all_named(store):
    await create(store, Kind.TEAM, "t")
    for number in range(5):
        await create(store, Kind.KEY, f"k{number}", KeySpec(team="t"))
    with pytest.raises(Conflict, match="key 'k0', key 'k1', key 'k2' and others;"):
        await store.delete(Kind.TEAM, "t", ANN)


async def test_a_rotated_key_has_both_secrets_until_the_overlap_ends(store):
    await create(store, Kind.KEY, "k", secret=secret("old", "oldx"))
    rotated = await store.rotate("k", secret("new", "newx"), timedelta(hours=1), ANN)
    assert [mark.last_four for mark in rotated.secrets] == ["newx", "oldx"]
    new, old = rotated.secrets
    assert new.expires_at is None
    assert old.expires_at == new.created_at + timedelta(hours=1)
    assert await store.get(Kind.KEY, "k") == rotated
    later = await store.rotate("k", secret("third", "3333"), timedelta(hours=9), ANN)
    assert [mark.expires_at for mark in later.secrets][2] == old.expires_at, "no end is put off"
    last = await store.rotate("k", secret("last", "last"), timedelta(0), ANN)
    assert [mark.last_four for mark in last.secrets] == ["last"]
    everything = await store.changes()
    assert [known.digest for known in everything.secrets] == [secret("last").digest]
    with pytest.raises(ObjectNotFound):
        await store.rotate("nobody", secret("x"), timedelta(0), ANN)


async def test_a_key_has_no_more_secrets_than_it_may(store):
    await create(store, Kind.KEY, "k")
    for number in range(SECRETS_PER_KEY_MAX - 1):
        await store.rotate("k", secret(f"s{number}"), timedelta(days=1), ANN)
    with pytest.raises(Conflict, match="overlap of 0"):
        await store.rotate("k", secret("more"), timedelta(days=1), ANN)
    assert len((await store.rotate("k", secret("more"), timedelta(0), ANN)).secrets) == 1


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


@pytest.mark.parametrize("text", INJECTIONS)
async def test_text_is_only_ever_text(store, pool, text):
    await create(store, Kind.KEY, "k", KeySpec(policy=text))
    await create(store, Kind.TEAM, text)
    assert (await store.get(Kind.TEAM, text)).id == text
    assert [item.id for item in (await store.list(Query(kind=Kind.TEAM, prefix=text))).items] == [text]
    assert (await store.list(Query(kind=Kind.KEY, prefix=text))).items == ()
    for field in ("team", "project"):
        assert (await store.list(Query(kind=Kind.KEY, equal={field: text}))).items == ()
    assert len((await store.list(Query(kind=Kind.KEY, equal={"policy": text}))).items) == 1
    with pytest.raises(InvalidRequest, match="cannot filter by"):
        await store.list(Query(kind=Kind.KEY, equal={text: "x"}))
    assert [entry.object_id for entry in (await store.audit(AuditQuery(object_id=text))).items] == [text]
    await store.delete(Kind.TEAM, text, ANN)
    assert await pool.fetchval("SELECT count(*) FROM directory_objects") == 1


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_text_that_no_database_holds_is_the_callers_fault(store, text):
    for doing in (
        store.get(Kind.KEY, text),
        store.list(Query(kind=Kind.KEY, prefix=text)),
        store.audit(AuditQuery(actor=text)),
        create(store, Kind.TEAM, text),
    ):
        with pytest.raises(InvalidRequest):
            await doing
    with pytest.raises(InvalidRequest, match="too large"):
        await store.audit(AuditQuery(before=2**70))
    if text == "a\0b":
        with pytest.raises(InvalidRequest):
            await create(store, Kind.KEY, "k", KeySpec(models=(text,)))


IDS = st.text(st.sampled_from("abAB01._:@/+-ä\U0001f600"), min_size=1, max_size=4)
KEYS = st.dictionaries(
    IDS,
    st.builds(
        KeySpec, disabled=st.booleans(), team=st.sampled_from(["default", "t"]), policy=st.sampled_from([None, "p"])
    ),
    max_size=12,
)
FILTERED = st.fixed_dictionaries(
    {},
    optional={
        "disabled": st.sampled_from(["true", "false", "x"]),
        "team": st.sampled_from(["default", "t"]),
        "policy": st.sampled_from(["p", ""]),
        "priority": st.sampled_from(["normal", "batch"]),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(specs=KEYS, equal=FILTERED, prefix=st.sampled_from(["", "a", "B", "ä"]), limit=st.integers(1, 5))
async def test_pages_put_together_are_all_in_order(store, pool, specs, equal, prefix, limit):
    """And the same as what the mirror would say, page by page."""
    await store.prepare()
    await pool.execute("DELETE FROM directory_objects")
    for object_id, spec in specs.items():
        await store.create(draft(Kind.KEY, object_id, spec), ANN)
    items = [Item(kind=Kind.KEY, id=name, spec=spec, version=1) for name, spec in specs.items()]
    found, after = [], ""
    while True:
        query = Query(kind=Kind.KEY, limit=limit, after=after, prefix=prefix, equal=equal)
        page = await store.list(query)
        model = page_of(items, query)
        assert ([item.id for item in page.items], page.next) == ([item.id for item in model.items], model.next)
        found += [item.id for item in page.items]
        if not page.next:
            break
        after = page.next
    assert found == [
        item.id for item in page_of(items, Query(kind=Kind.KEY, limit=500, prefix=prefix, equal=equal)).items
    ]


async def test_any_of_several_values_can_be_asked_for(store):
    for team in ("a", "b", "c"):
        await create(store, Kind.TEAM, team)
        await create(store, Kind.PROJECT, f"p{team}", Project(team=team))
    page = await store.list(Query(kind=Kind.PROJECT, any_of={"team": ("a", "c")}))
    assert [item.id for item in page.items] == ["pa", "pc"]
    assert (await store.list(Query(kind=Kind.PROJECT, any_of={"team": ()}))).items == ()


async def test_a_database_that_was_replaced_is_made_ready_again(store, pool):
    await create(store, Kind.TEAM, "t")
    await pool.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with pytest.raises(StoreUnavailable):
        await store.changes()
    assert (await store.changes()).revision == 0
    assert (await create(store, Kind.TEAM, "t")).version == 1


async def test_a_gateway_that_may_not_migrate_says_what_is_missing(pool):
    careful = Database(pool, may_migrate=False)
    with pytest.raises(StoreUnavailable, match="lacks migrations of directory: 1 directory"):
        async with careful.reading():
            pass
    await DirectoryStore(pool).prepare()
    async with careful.reading() as connection:
        assert await connection.fetchval("SELECT revision FROM directory_state") == 0


async def test_without_a_database_everything_says_so():
    async with open_postgres("postgresql://nobody@127.0.0.1:1/none?sslmode=disable") as pool:
        store = DirectoryStore(pool)
        for doing in (store.changes(), store.get(Kind.KEY, "k"), create(store, Kind.TEAM, "t")):
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await doing


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


async def test_a_refusal_by_postgres_is_told_in_its_words_without_the_password(server):
    parts = urlsplit(server)
    for changed, says in (
        ({"path": "/no_such_database"}, 'database "no_such_database" does not exist'),
        ({"netloc": "no_such_user:CANARY@"}, "no_such_user"),
    ):
        url = urlunsplit(parts._replace(**changed))
        async with open_postgres(url) as refused:
            with pytest.raises(StoreUnavailable) as wrong:
                await DirectoryStore(refused).list(Query(kind=Kind.KEY))
        assert says in wrong.value.message
        assert "CANARY" not in wrong.value.message
        assert "stores.database" in wrong.value.message
        assert "try again" not in wrong.value.message
