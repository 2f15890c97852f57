"""The directory's store against a real Postgres: objects, secrets, and a log that nobody can alter."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline_gateway.directory.database import Database
from trunkline_gateway.directory.objects import (
    AuditQuery,
    Item,
    Kind,
    Query,
)
from trunkline_gateway.directory.selection import page_of
from trunkline_gateway.directory.store import DirectoryStore
from trunkline_gateway.directory.writing import SECRETS_PER_KEY_MAX
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.errors import Conflict, InvalidRequest, ObjectNotFound, StoreUnavailable, VersionMismatch
from trunkline_kit.stores.postgres import open_postgres
from trunkline_kit.tenants import Budget, KeySpec, Limit, Period, Project, Scope, Team
from trunkline_testkit.directory_drafts import ANN, create, draft, secret

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
