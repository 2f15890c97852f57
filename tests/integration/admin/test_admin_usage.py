"""Usage over HTTP and what gRPC has of the admin API."""

from datetime import UTC, datetime

import grpc
import pytest

from trunkline.gateway.v1 import gateway_service_pb2 as pb
from trunkline.gateway.v1.gateway_service_pb2_grpc import GatewayAdminServiceStub
from trunkline_kit.errors import InvalidRequest, ObjectNotFound, PermissionDenied, Unauthenticated
from trunkline_kit.rpc import from_rpc_error

WRITER = (("authorization", "Bearer tl-writer"),)
READER = (("authorization", "Bearer tl-reader"),)


async def test_usage_in_every_format(admin):
    report = await admin.done("GET", "/usage?by=team,tag&bucket=day&team=filed&team=other&time_zone=Europe/Berlin")
    assert (report["object"], report["data"], report["totals"]["requests"]) == ("list", [], 0)
    for form in ("csv", "focus"):
        reply = await admin.ask("GET", f"/usage?format={form}", role="reader")
        assert reply.status == 200
        assert reply.content_type == "text/csv"
        assert reply.headers["content-disposition"] == 'attachment; filename="usage.csv"'
        assert "," in (await reply.text()).splitlines()[0]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("by=galaxy", "by"),
        ("bucket=year", "bucket"),
        ("since=soon", "since"),
        ("until=2020-01-01", "since"),
        ("time_zone=No/Where", "time_zone"),
        ("format=xml", "format"),
        ("limit=0", "limit"),
        ("after=x", "after"),
        ("tag=%00", "tag"),
        ("nothing=x", "nothing"),
    ],
)
async def test_wrong_questions_are_refused_by_name(admin, query, param):
    assert await admin.refused("GET", f"/usage?{query}") == (400, "invalid_request", param)


@pytest.fixture
async def stub(admin):
    async with admin.net.channel(admin.gateway.grpc_address) as channel:
        yield GatewayAdminServiceStub(channel)


async def failed(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_keys_over_grpc(admin, stub):
    ends = datetime(2099, 1, 1, tzinfo=UTC)
    new = pb.CreateKeyRequest(team="filed", key_id="k", models=["fake"], scopes=["inference", "admin:read"])
    new.expires_at.FromDatetime(ends)
    made = await stub.CreateKey(new, timeout=5, metadata=WRITER)
    assert (made.key.key_id, made.key.team, made.key.last_four) == ("k", "filed", made.secret[-4:])
    assert made.key.expires_at.ToDatetime(tzinfo=UTC) == ends
    assert (await admin.raw("GET", "/whoami", headers={"x-api-key": made.secret})).status == 200
    first = await stub.ListKeys(pb.ListKeysRequest(team="filed", limit=1), timeout=5, metadata=READER)
    assert [key.key_id for key in first.keys] == ["k"]
    assert first.keys[0].scopes == ["inference", "admin:read"]
    every = await stub.ListKeys(pb.ListKeysRequest(), timeout=5, metadata=READER)
    assert {"k", "writer"} <= {key.key_id for key in every.keys}
    gone = await stub.RevokeKey(pb.RevokeKeyRequest(key_id="k"), timeout=5, metadata=WRITER)
    assert gone.key == made.key
    assert (await admin.raw("GET", "/whoami", headers={"x-api-key": made.secret})).status == 401
    log = (await admin.done("GET", "/audit"))["data"]
    assert [(entry["action"], entry["actor"]) for entry in log] == [("delete", "writer"), ("create", "writer")]


async def test_usage_over_grpc(stub):
    request = pb.GetUsageRequest(group_by=["team", "model"])
    request.since.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC))
    assert not (await stub.GetUsage(request, timeout=5, metadata=READER)).rows
    wrong = await failed(stub.GetUsage(pb.GetUsageRequest(group_by=["galaxy"]), timeout=5, metadata=READER))
    assert isinstance(wrong, InvalidRequest)
    assert wrong.param == "by"


async def test_grpc_asks_for_the_same_scopes(stub):
    calls = {
        "ListKeys": (stub.ListKeys, pb.ListKeysRequest(), False),
        "GetUsage": (stub.GetUsage, pb.GetUsageRequest(), False),
        "CreateKey": (stub.CreateKey, pb.CreateKeyRequest(), True),
        "RevokeKey": (stub.RevokeKey, pb.RevokeKeyRequest(key_id="x"), True),
    }
    for call, request, writes in calls.values():
        assert isinstance(await failed(call(request, timeout=5)), Unauthenticated)
        for role in ("caller", "meter", "nobody", *(["reader"] if writes else [])):
            metadata = (("authorization", f"Bearer tl-{role}"),)
            assert isinstance(await failed(call(request, timeout=5, metadata=metadata)), PermissionDenied)


async def test_grpc_errors_name_what_was_wrong(stub):
    bad = await failed(stub.CreateKey(pb.CreateKeyRequest(scopes=["root"]), timeout=5, metadata=WRITER))
    assert isinstance(bad, InvalidRequest)
    assert bad.param.startswith("scopes")
    gone = await failed(stub.RevokeKey(pb.RevokeKeyRequest(key_id="x"), timeout=5, metadata=WRITER))
    assert isinstance(gone, ObjectNotFound)
    page = await failed(stub.ListKeys(pb.ListKeysRequest(limit=-1), timeout=5, metadata=READER))
    assert isinstance(page, InvalidRequest)
