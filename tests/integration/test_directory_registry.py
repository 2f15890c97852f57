"""What the file declares and what is stored, as one: the registry over a real Postgres."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from trunkline_gateway.config import ExtraKey, GatewayConfig
from trunkline_gateway.directory.declared import declared_of
from trunkline_gateway.directory.mirror import Mirror
from trunkline_gateway.directory.objects import Actor, AuditQuery, Draft, Kind, NewSecret, Query
from trunkline_gateway.directory.registry import OVERLAP_S_MAX, Parts, Registry
from trunkline_gateway.directory.store import DirectoryStore
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.clock import SystemClock
from trunkline_kit.config import decode
from trunkline_kit.errors import (
    ConfigError,
    Conflict,
    InvalidRequest,
    ObjectNotFound,
    StoreUnavailable,
    VersionMismatch,
)
from trunkline_kit.secrets import Secret
from trunkline_kit.settings import Settings
from trunkline_kit.stores.postgres import PostgresOptions, open_postgres
from trunkline_kit.tenants import Budget, KeySpec, Limit, Org, Period, Project, Tag, Team
from trunkline_testkit.databases import new_database, running_postgres

ANN = Actor(id="ann", request_id="req-1")
CLOCK = SystemClock()
TREE = {
    "providers": {"up": {"kind": "openai"}},
    "models": {
        "m": {"deployments": [{"provider": "up", "model": "m"}]},
        "bounded": {"deployments": [{"provider": "up", "model": "b"}], "limits": [{"concurrent": 3}]},
    },
    "teams": {"search": {"org": "acme"}, "ads": {}},
    "projects": {"web": {"team": "search"}},
    "policies": {"strict": {}},
    "keys": [{"id": "declared", "secret": "env:K", "team": "search"}],
    "tags": {"beta": {}},
    "prices": {"overrides": [{"provider": "up"}]},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_postgres(tmp_path_factory.mktemp("pg")) as url:
        yield url


@pytest.fixture
def declared():
    extra = (ExtraKey(id="owner", sha256=bytes(32)),)
    return declared_of(GatewayConfig.from_settings(decode(TREE, Settings), extra_keys=extra))


def make_secret():
    digest = os.urandom(32)
    return Secret(f"tl-{digest.hex()}"), NewSecret(digest=digest, pepper_id="p", last_four=digest.hex()[-4:])


def no_pepper():
    raise ConfigError("keys cannot be made at run time without identity.pepper")


@pytest.fixture
async def pool(server):
    async with open_postgres(await new_database(server), PostgresOptions(connect_timeout_s=0.5)) as opened:
        yield opened


@pytest.fixture
async def mirror(pool):
    return Mirror(DirectoryStore(pool), CLOCK)


@pytest.fixture
def parts(pool, mirror):
    return Parts(store=DirectoryStore(pool), mirror=mirror, make_secret=make_secret, clock=CLOCK)


@pytest.fixture
def registry(declared, parts):
    return Registry(declared, parts, rotation_overlap_s=3600)


def draft(kind, object_id, spec):
    return Draft(kind=kind, id=object_id, spec=spec)


async def ids(registry, kind, **query):
    return [item.id for item in (await registry.list(Query(kind=kind, **query))).items]


async def test_both_are_shown_in_one_order_page_by_page(registry):
    for name in ("aaa", "m", "z"):
        await registry.create(draft(Kind.KEY, name, KeySpec()), ANN)
    assert await ids(registry, Kind.KEY) == ["aaa", "declared", "m", "owner", "z"]
    found, after = [], ""
    while True:
        page = await registry.list(Query(kind=Kind.KEY, limit=2, after=after))
        found += [(item.id, item.declared) for item in page.items]
        after = page.next
        if not after:
            break
    assert found == [("aaa", False), ("declared", True), ("m", False), ("owner", True), ("z", False)]
    assert (await registry.get(Kind.KEY, "declared")).spec == KeySpec(team="search")
    assert (await registry.get(Kind.KEY, "z")).version == 3
    assert await ids(registry, Kind.MODEL) == ["bounded"]
    assert await ids(registry, Kind.PRICE) == ["file:0"]
    assert await ids(registry, Kind.TAG) == ["beta"]
    for missing in ("nobody", "' OR 1=1 --", "", "k\n"):
        with pytest.raises(ObjectNotFound):
            await registry.get(Kind.KEY, missing)


async def test_keys_and_projects_are_found_by_their_teams_org(registry):
    await registry.create(draft(Kind.TEAM, "maps", Team(org="acme")), ANN)
    await registry.create(draft(Kind.PROJECT, "tiles", Project(team="maps")), ANN)
    await registry.create(draft(Kind.KEY, "k", KeySpec(team="maps", disabled=True)), ANN)
    await registry.create(draft(Kind.KEY, "free", KeySpec()), ANN)
    assert await ids(registry, Kind.KEY, equal={"org": "acme"}) == ["declared", "k"]
    assert await ids(registry, Kind.KEY, equal={"org": "acme", "disabled": "true"}) == ["k"]
    assert await ids(registry, Kind.KEY, equal={"org": "default"}) == ["free", "owner"]
    assert await ids(registry, Kind.KEY, equal={"org": "nobody"}) == []
    assert await ids(registry, Kind.PROJECT, equal={"org": "acme"}) == ["tiles", "web"]
    assert await ids(registry, Kind.TEAM, equal={"org": "acme"}) == ["maps", "search"]


async def test_what_the_file_declares_is_changed_there(registry, parts, declared):
    doings = [
        lambda: registry.create(draft(Kind.KEY, "declared", KeySpec()), ANN),
        lambda: registry.update(draft(Kind.TEAM, "ads", Team(weight=2)), ANN),
        lambda: registry.delete(Kind.PROJECT, "web", ANN),
        lambda: registry.rotate("declared", ANN),
        lambda: registry.create(draft(Kind.PRICE, "file:0", PriceOverride(provider="up", input_usd=1)), ANN),
    ]
    for doing in doings:
        with pytest.raises(Conflict, match="declared in the configuration file and read-only here"):
            await doing()
    assert (await registry.audit(AuditQuery())).items == ()


async def test_what_a_declaration_came_to_hide_can_be_deleted(registry, declared, parts):
    empty = Registry(declared_of(GatewayConfig()), parts, rotation_overlap_s=0)
    await empty.create(draft(Kind.TEAM, "ads", Team(weight=9)), ANN)
    assert (await registry.get(Kind.TEAM, "ads")).spec == Team()
    assert await ids(registry, Kind.TEAM) == ["ads", "default", "search"]
    await registry.delete(Kind.TEAM, "ads", ANN)
    with pytest.raises(ObjectNotFound):
        await empty.get(Kind.TEAM, "ads")


async def test_a_reload_changes_what_is_declared(registry):
    registry.swap(declared_of(GatewayConfig()), rotation_overlap_s=5)
    assert await ids(registry, Kind.KEY) == []
    made = await registry.create(draft(Kind.KEY, "declared", KeySpec()), ANN)
    rotated = await registry.rotate("declared", ANN)
    assert rotated.secret != made.secret
    new, old = rotated.item.secrets
    assert old.expires_at == new.created_at + timedelta(seconds=5)


@pytest.mark.parametrize(
    ("kind", "spec", "param"),
    [
        (Kind.KEY, KeySpec(limits=(Limit(requests=1),)), "limits[0]"),
        (Kind.KEY, KeySpec(team="nobody"), "team"),
        (Kind.KEY, KeySpec(project="nothing"), "project"),
        (Kind.KEY, KeySpec(project="web"), "project"),
        (Kind.KEY, KeySpec(policy="lax"), "policy"),
        (Kind.KEY, KeySpec(networks=("10.0.0.0/99",)), "networks[0]"),
        (Kind.KEY, KeySpec(expires_at=datetime(2020, 1, 1, tzinfo=UTC)), "expires_at"),
        (Kind.TEAM, Team(org="nobody"), "org"),
        (Kind.PROJECT, Project(team="nobody"), "team"),
        (Kind.PRICE, PriceOverride(provider="nobody", input_usd=1), "provider"),
        (Kind.PRICE, PriceOverride(provider="up", team="nobody", input_usd=1), "team"),
        (Kind.MODEL, Tag(limits=(Limit(concurrent=1),)), "id"),
        (
            Kind.ORG,
            Org(budgets=(Budget(amount_usd=1, period=Period.DAY, time_zone="Mars/Olympus"),)),
            "budgets[0].time_zone",
        ),
        (Kind.ORG, Team(), None),
    ],
)
async def test_a_wrong_object_is_refused_with_the_field_that_is_wrong(registry, kind, spec, param):
    with pytest.raises(InvalidRequest) as wrong:
        await registry.create(draft(kind, "new", spec), ANN)
    assert wrong.value.param == param
    assert (await registry.audit(AuditQuery())).items == ()


@pytest.mark.parametrize("object_id", ["", "-a", "a b", "a\n", "ä", "x" * 129, "'; DROP TABLE keys"])
async def test_an_id_has_to_be_one(registry, object_id):
    with pytest.raises(InvalidRequest) as wrong:
        await registry.create(draft(Kind.TEAM, object_id, Team()), ANN)
    assert wrong.value.param == "id"
    with pytest.raises(ObjectNotFound):
        await registry.update(draft(Kind.TEAM, object_id, Team()), ANN)
    with pytest.raises(ObjectNotFound):
        await registry.delete(Kind.TEAM, object_id, ANN)


async def test_what_fits_is_taken_whether_file_or_database_has_what_it_needs(registry):
    await registry.create(draft(Kind.TEAM, "maps", Team(org="acme")), ANN)
    await registry.create(draft(Kind.PROJECT, "tiles", Project(team="maps")), ANN)
    await registry.create(draft(Kind.KEY, "k1", KeySpec(team="maps", project="tiles", policy="strict")), ANN)
    await registry.create(draft(Kind.KEY, "k2", KeySpec(team="search", project="web")), ANN)
    await registry.create(draft(Kind.MODEL, "m", Tag(limits=(Limit(concurrent=1),))), ANN)
    await registry.create(draft(Kind.PRICE, "cheap", PriceOverride(provider="up", team="search", input_usd=1)), ANN)
    changed = await registry.update(draft(Kind.KEY, "k2", KeySpec(team="search", disabled=True)), ANN, if_version=4)
    with pytest.raises(VersionMismatch):
        await registry.delete(Kind.KEY, "k2", ANN, if_version=4)
    await registry.delete(Kind.KEY, "k2", ANN, if_version=changed.version)
    with pytest.raises(Conflict, match="still used by key 'k1', project 'tiles'"):
        await registry.delete(Kind.TEAM, "maps", ANN)


async def test_a_secret_is_shown_once_and_its_last_four_ever_after(registry, mirror):
    made = await registry.create(draft(Kind.KEY, "k", KeySpec()), ANN)
    assert made.secret.reveal().endswith(made.item.secrets[0].last_four)
    assert made.secret.reveal() not in repr(made)
    assert (await registry.create(draft(Kind.ORG, "o", Org()), ANN)).secret is None
    assert mirror.snapshot.of(Kind.KEY)["k"] == made.item, "known here when the call returns"
    for overlap_s in (-1, float("nan"), float("inf"), OVERLAP_S_MAX * 2):
        with pytest.raises(InvalidRequest) as wrong:
            await registry.rotate("k", ANN, overlap_s)
        assert wrong.value.param == "overlap_s"
    rotated = await registry.rotate("k", ANN, 0, if_version=made.item.version)
    assert len(rotated.item.secrets) == 1
    with pytest.raises(VersionMismatch):
        await registry.rotate("k", ANN, 0, if_version=made.item.version)


async def test_without_a_pepper_no_key_is_made(declared, parts):
    bare = Parts(store=parts.store, mirror=parts.mirror, make_secret=no_pepper, clock=CLOCK)
    registry = Registry(declared, bare, rotation_overlap_s=0)
    with pytest.raises(Conflict, match=r"identity\.pepper"):
        await registry.create(draft(Kind.KEY, "k", KeySpec()), ANN)
    assert (await registry.create(draft(Kind.TEAM, "t", Team()), ANN)).item.version == 1


async def test_without_a_database_the_file_is_shown(declared):
    registry = Registry(
        declared, Parts(store=None, mirror=None, make_secret=make_secret, clock=CLOCK), rotation_overlap_s=0
    )
    assert await ids(registry, Kind.KEY) == ["declared", "owner"]
    assert await ids(registry, Kind.KEY, equal={"org": "acme"}) == ["declared"]
    with pytest.raises(ObjectNotFound):
        await registry.get(Kind.KEY, "k")
    for doing in (
        registry.create(draft(Kind.TEAM, "t", Team()), ANN),
        registry.delete(Kind.TEAM, "t", ANN),
        registry.audit(AuditQuery()),
    ):
        with pytest.raises(StoreUnavailable, match=r"stores\.database"):
            await doing


async def test_while_the_database_is_away_the_mirror_is_shown(registry, declared, mirror):
    await registry.create(draft(Kind.KEY, "k", KeySpec()), ANN)
    await registry.create(draft(Kind.KEY, "l", KeySpec(disabled=True)), ANN)
    async with open_postgres("postgresql://nobody@127.0.0.1:1/none?sslmode=disable") as gone:
        away = Parts(store=DirectoryStore(gone), mirror=mirror, make_secret=make_secret, clock=CLOCK)
        cut_off = Registry(declared, away, rotation_overlap_s=0)
        assert await ids(cut_off, Kind.KEY) == ["declared", "k", "l", "owner"]
        assert await ids(cut_off, Kind.KEY, equal={"disabled": "true"}) == ["l"]
        assert (await cut_off.get(Kind.KEY, "k")).id == "k"
        with pytest.raises(ObjectNotFound):
            await cut_off.get(Kind.KEY, "nobody")
        with pytest.raises(StoreUnavailable):
            await cut_off.delete(Kind.KEY, "k", ANN)
        never = Parts(store=away.store, mirror=Mirror(away.store, CLOCK), make_secret=make_secret, clock=CLOCK)
        blind = Registry(declared, never, rotation_overlap_s=0)
        assert (await blind.get(Kind.KEY, "declared")).declared
        for doing in (blind.get(Kind.KEY, "k"), blind.list(Query(kind=Kind.KEY))):
            with pytest.raises(StoreUnavailable):
                await doing


async def test_a_change_that_cannot_be_read_back_is_made_all_the_same(declared, parts, caplog):
    async with open_postgres("postgresql://nobody@127.0.0.1:1/none?sslmode=disable") as gone:
        deaf = Parts(
            store=parts.store, mirror=Mirror(DirectoryStore(gone), CLOCK), make_secret=make_secret, clock=CLOCK
        )
        made = await Registry(declared, deaf, rotation_overlap_s=0).create(draft(Kind.TEAM, "t", Team()), ANN)
    assert made.item.version == 1
    assert "is made but not seen here yet" in caplog.text


async def test_a_key_whose_policy_team_and_project_left_the_file_can_still_be_changed(registry):
    spec = KeySpec(team="search", project="web", policy="strict")
    await registry.create(draft(Kind.KEY, "k", spec), ANN)
    price = PriceOverride(provider="up", input_usd=1)
    await registry.create(draft(Kind.PRICE, "p", price), ANN)
    await registry.create(draft(Kind.MODEL, "m", Tag()), ANN)
    registry.swap(declared_of(GatewayConfig()), rotation_overlap_s=0)
    off = await registry.update(draft(Kind.KEY, "k", structs.replace(spec, disabled=True)), ANN)
    assert off.spec == structs.replace(spec, disabled=True)
    await registry.update(draft(Kind.PRICE, "p", structs.replace(price, input_usd=2)), ANN)
    await registry.update(draft(Kind.MODEL, "m", Tag(limits=(Limit(concurrent=1),))), ANN)
    for worse, param in (("policy", "policy"), ("team", "team"), ("project", "project")):
        with pytest.raises(InvalidRequest) as wrong:
            await registry.update(draft(Kind.KEY, "k", structs.replace(spec, **{worse: "other"})), ANN)
        assert wrong.value.param == param
    assert (await registry.update(draft(Kind.KEY, "k", KeySpec()), ANN)).spec == KeySpec()


async def test_a_key_cannot_be_named_like_an_issuers_tokens(declared, parts):
    guarded = Registry(structs.replace(declared, issuers=frozenset({"okta"})), parts, rotation_overlap_s=0)
    for name in ("okta", "okta/root@x"):
        with pytest.raises(Conflict, match=r"identity\.oidc"):
            await guarded.create(draft(Kind.KEY, name, KeySpec()), ANN)
    assert (await guarded.create(draft(Kind.KEY, "okta-2", KeySpec()), ANN)).item.version == 1


async def test_default_is_there_before_anybody_makes_it_and_after(registry):
    for kind, empty, changed in (
        (Kind.ORG, Org(), Org(limits=(Limit(concurrent=1),))),
        (Kind.TEAM, Team(), Team(weight=2.0)),
    ):
        found = await registry.get(kind, "default")
        assert (found.spec, found.version, found.declared) == (empty, 0, False)
        assert "default" in await ids(registry, kind)
        with pytest.raises(Conflict, match="is always there"):
            await registry.delete(kind, "default", ANN)
        await registry.create(draft(kind, "default", changed), ANN)
        assert (await registry.get(kind, "default")).spec == changed
        assert (await ids(registry, kind)).count("default") == 1
        await registry.delete(kind, "default", ANN)
        assert (await registry.get(kind, "default")).spec == empty
    assert await ids(registry, Kind.TEAM, equal={"org": "default"}) == ["ads", "default"]
    await registry.create(draft(Kind.TEAM, "default", Team(org="acme")), ANN)
    assert await ids(registry, Kind.TEAM, equal={"org": "default"}) == ["ads"], "it went to another org"
    assert await ids(registry, Kind.ORG) == ["acme", "default"], "an org of the file's teams is there, too"
