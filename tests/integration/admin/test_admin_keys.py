"""Secrets of keys: shown once, kept by nobody, rotated with an overlap; and what the audit log says of it all."""

import asyncio
import logging

import pytest

from trunkline_testkit.databases import new_database

SOON_S = 5.0


async def works(admin, secret):
    reply = await admin.raw("GET", "/whoami", headers={"authorization": f"Bearer {secret}"})
    return reply.status == 200


async def test_a_secret_is_shown_once_and_never_again(admin, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    reply = await admin.ask("POST", "/keys", {"id": "k"})
    assert reply.headers["cache-control"] == "no-store"
    first = await reply.json()
    rotated = await admin.done("POST", "/keys/k/rotate", {"overlap_s": 3600})
    secrets = (first["secret"], rotated["secret"])
    assert len(set(secrets)) == 2
    assert [await works(admin, secret) for secret in secrets] == [True, True]
    places = [
        await (await admin.ask("GET", path)).text()
        for path in ("/keys", "/keys/k", "/audit", "/limits", "/budgets", "/usage", "/keys/nothing")
    ]
    places.append(await (await admin.ask("POST", "/keys", {"id": "k"})).text())
    places.append(await (await admin.raw("GET", "/keys", headers={"authorization": f"Bearer {secrets[0]}"})).text())
    out = capfd.readouterr()
    everything = "\n".join([*places, caplog.text, out.out, out.err])
    assert not [secret for secret in secrets if secret in everything or secret[3:] in everything]
    shown = (await admin.done("GET", "/keys/k"))["secrets"]
    assert [mark["last_four"] for mark in shown] == [secret[-4:] for secret in reversed(secrets)]
    assert set(shown[0]) == {"last_four", "created_at", "expires_at"}


async def test_a_rotation_may_end_the_old_secret_at_once(admin):
    first = await admin.done("POST", "/keys", {"id": "k"})
    second = await admin.done("POST", "/keys/k/rotate", {"overlap_s": 0})
    assert not await works(admin, first["secret"])
    assert await works(admin, second["secret"])
    for body in ({"overlap_s": -1}, {"overlap_s": 1e12}, {"overlap": 1}):
        assert (await admin.refused("POST", "/keys/k/rotate", body))[0] == 400
    assert await admin.refused("POST", "/keys/k/rotate", if_match='"1"') == (412, "version_mismatch", "if-match")
    assert (await admin.refused("POST", "/keys/nothing/rotate"))[0] == 404


async def test_disabled_enabled_revoked(admin):
    made = await admin.done("POST", "/keys", {"id": "k"})
    off = await admin.done("POST", "/keys/k/disable")
    assert off["disabled"] is True
    assert not await works(admin, made["secret"])
    assert (await admin.done("POST", "/keys/k/enable"))["disabled"] is False
    assert await works(admin, made["secret"])
    await admin.done("DELETE", "/keys/k")
    assert not await works(admin, made["secret"])


async def test_an_id_is_made_out_of_the_team(admin):
    ids = [(await admin.done("POST", "/keys", {"team": "filed"}))["id"] for _ in range(3)]
    assert len(set(ids)) == 3
    assert all(key_id.startswith("filed-") for key_id in ids)


async def test_without_a_pepper_no_key_is_made_and_it_says_why(open_admin):
    async with open_admin(identity={}) as admin:
        reply = await admin.ask("POST", "/keys", {"id": "k"})
        assert reply.status == 409
        assert "identity.pepper" in await reply.text()
        assert (await admin.done("POST", "/teams", {"id": "t"}))["id"] == "t"


async def test_a_change_reaches_another_gateway_within_a_second(open_admin, postgres):
    stores = {"stores": {"database": await new_database(postgres)}}
    async with open_admin(**stores) as admin, open_admin(**stores) as other:
        made = await admin.done("POST", "/keys", {"id": "k"})
        for change, expected in (("enable", True), ("disable", False)):
            await admin.done("POST", f"/keys/k/{change}")
            async with asyncio.timeout(1.0):
                while await works(other, made["secret"]) is not expected:
                    pass
        assert (await other.done("GET", "/keys/k"))["disabled"] is True


async def test_every_change_is_in_the_audit_log(admin):
    made = await admin.done("POST", "/keys", {"id": "k"}, x_request_id="req-of-mine")
    await admin.done("PATCH", "/keys/k", {"tags": ["a"]})
    await admin.done("POST", "/keys/k/rotate")
    await admin.done("POST", "/teams", {"id": "t"})
    await admin.done("DELETE", "/keys/k")
    log = (await admin.done("GET", "/audit", role="reader"))["data"]
    assert [(entry["action"], entry["kind"], entry["object_id"]) for entry in log] == [
        ("delete", "key", "k"),
        ("create", "team", "t"),
        ("rotate", "key", "k"),
        ("update", "key", "k"),
        ("create", "key", "k"),
    ]
    first = log[-1]
    assert (first["id"], first["actor"], first["request_id"]) == (made["version"], "writer", "req-of-mine")
    assert first["source"] == "127.0.0.1"
    assert first["before"] is None
    assert (log[3]["before"]["tags"], log[3]["after"]["tags"]) == ([], ["a"])
    assert log[0]["after"] is None


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("kind=key", 3),
        ("action=create", 3),
        ("object_id=t-2", 1),
        ("actor=writer", 5),
        ("actor=reader", 0),
        ("kind=key&action=update", 1),
        ("since=2099-01-01T00:00:00Z", 0),
        ("until=2099-01-01T00:00:00Z", 5),
    ],
)
async def test_the_audit_log_is_filtered_and_paged(admin, query, count):
    await admin.done("POST", "/keys", {"id": "k"})
    await admin.done("PATCH", "/keys/k", {"tags": ["a"]})
    await admin.done("POST", "/keys/k/rotate")
    await admin.done("POST", "/teams", {"id": "t-1"})
    await admin.done("POST", "/teams", {"id": "t-2"})
    whole = (await admin.done("GET", f"/audit?{query}"))["data"]
    assert len(whole) == count
    pages, after = [], ""
    while after is not None:
        page = await admin.done("GET", f"/audit?{query}&limit=2" + (f"&after={after}" if after else ""))
        pages += page["data"]
        after = page["next"]
    assert pages == whole


async def test_refusals_leave_no_trace_in_the_audit_log(admin):
    await admin.refused("POST", "/teams", {"id": ""})
    await admin.refused("DELETE", "/teams/filed")
    await admin.refused("POST", "/teams", {"id": "x"}, role="reader")
    assert (await admin.done("GET", "/audit"))["data"] == []
