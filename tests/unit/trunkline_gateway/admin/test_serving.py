import msgspec
import pytest

from trunkline_gateway.admin.operations import Answer, Operation, Route, Visitor
from trunkline_gateway.admin.serving import AdminApp
from trunkline_gateway.auth import Principal
from trunkline_gateway.directory.objects import Actor
from trunkline_gateway.edge import Visit
from trunkline_kit.errors import InvalidRequest, PermissionDenied, RouteNotFound, Unauthenticated
from trunkline_kit.tenants import Scope, Tag

GET = Operation(id="get", method="GET", path="/t", scope=Scope.ADMIN_READ, summary="", tag="", answer=Tag)
PUT = Operation(
    id="put", method="PUT", path="/t", scope=Scope.ADMIN_WRITE, summary="", tag="", body=Tag, answer=Tag, versioned=True
)
POST = Operation(
    id="post", method="POST", path="/t", scope=None, summary="", tag="", body=Tag, body_required=False, status=204
)


class Asked:
    """The application with one visitor, and what its work was called with."""

    def __init__(self, *scopes):
        self.calls = []
        self.principal = Principal(key_id="k", scopes=frozenset(scopes))
        self.app = AdminApp([Route(operation, self.work) for operation in (GET, PUT, POST)], self.identify)

    async def identify(self, visit):
        if not visit.text(b"authorization"):
            raise Unauthenticated("who?")
        return Visitor(self.principal, Actor(id="k", request_id=visit.request_id))

    async def work(self, call):
        self.calls.append(call)
        return Answer(body=Tag(), headers=(("etag", '"1"'),))

    async def ask(self, method, body=b"", path="/admin/v1/t", query=b"", **headers):
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "http",
            "method": method,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": raw,
            "trunkline_visit": Visit(raw),
        }
        sent = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.append(message)

        await self.app(scope, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def test_an_answer():
    status, headers, body = await Asked(Scope.ADMIN_READ).ask("GET", authorization="x")
    assert status == 200
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == b"%d" % len(body)
    assert headers[b"etag"] == b'"1"'
    assert msgspec.json.decode(body, type=Tag) == Tag()


async def test_who_may_write_may_read():
    assert (await Asked(Scope.ADMIN_WRITE).ask("GET", authorization="x"))[0] == 200


@pytest.mark.parametrize("scopes", [(), (Scope.INFERENCE, Scope.METRICS), (Scope.ADMIN_READ,)])
async def test_without_the_scope_nothing_is_done(scopes):
    asked = Asked(*scopes)
    with pytest.raises(PermissionDenied, match="admin:write"):
        await asked.ask("PUT", b"{}", authorization="x")
    assert not asked.calls


async def test_without_a_key_not_even_the_body_is_read():
    with pytest.raises(Unauthenticated):
        await Asked(Scope.ADMIN_WRITE).ask("PUT", b"x" * 5_000_000)


async def test_a_body_that_may_be_left_out_may_have_any_type():
    asked = Asked()
    for length in ({}, {"content_length": "0"}):
        status, headers, body = await asked.ask("POST", authorization="x", content_type="what/ever", **length)
        assert (status, body) == (204, b"")
        assert b"content-type" not in headers
    await asked.ask("POST", b"{}", authorization="x", content_length="2")
    assert [call.body for call in asked.calls] == [b"", b"", b"{}"]


async def test_what_cannot_be_read():
    asked = Asked(Scope.ADMIN_WRITE)
    for query in (b"\xff", b"a=%ff", b"&".join([b"a=1"] * 200), b"a=1"):
        with pytest.raises(InvalidRequest):
            await asked.ask("GET", query=query, authorization="x")
    with pytest.raises(RouteNotFound):
        await asked.ask("GET", path="/admin/v1/other", authorization="x")
    with pytest.raises(InvalidRequest):
        await asked.ask("PUT", b"{}", authorization="x", if_match="what")
    await asked.ask("GET", authorization="x", if_match="what")
