"""Who may do what: every operation with every scope, without a key, and with a key that has none."""

import re

from prometheus_client import CollectorRegistry

from trunkline_gateway.admin.operations import BASE
from trunkline_gateway.admin.routes import AdminParts, admin_routes
from trunkline_gateway.http_app import http_app
from trunkline_kit.clock import SystemClock
from trunkline_kit.tenants import Scope

READS = frozenset({"GET"})
MAY = {
    "writer": {Scope.ADMIN_READ, Scope.ADMIN_WRITE},
    "reader": {Scope.ADMIN_READ},
    "caller": {Scope.INFERENCE},
    "meter": {Scope.METRICS},
    "nobody": set(),
}
BEFORE_ANYTHING_ELSE = {401, 403}


def operations():
    """What the server routes by: it needs no parts to be listed."""
    parts = AdminParts(registry=None, spending=None, reports=None, clock=SystemClock())
    return [route.operation for route in admin_routes(parts)]


def path_of(operation):
    names = {"measure": "requests", "period": "day"}
    return re.sub(r"{(\w+)}", lambda found: names.get(found[1], "no-such-thing"), operation.path)


def test_reading_needs_read_and_changing_needs_write():
    """Said here once more, so that a slip in the table is seen."""
    for operation in operations():
        needed = Scope.ADMIN_READ if operation.method in READS else Scope.ADMIN_WRITE
        assert operation.scope is (None if operation.id == "whoami" else needed), operation.id


def test_names_of_operations_and_routes_differ():
    ids = [operation.id for operation in operations()]
    routes = [(operation.method, operation.path) for operation in operations()]
    assert len(set(ids)) == len(ids)
    assert len(set(routes)) == len(routes)


def test_there_is_no_way_past_the_table():
    """All of the application below the base is the one mount that routes by the table."""
    parts = AdminParts(registry=None, spending=None, reports=None, clock=SystemClock())
    app = http_app(None, CollectorRegistry(), admin_routes(parts))
    below = [route.path for route in app.routes if route.path.startswith("/admin")]
    assert below == [BASE]


async def test_every_operation_with_every_scope(admin):
    for operation in operations():
        for role, scopes in MAY.items():
            reply = await admin.ask(operation.method, path_of(operation), role=role)
            allowed = operation.scope is None or operation.scope in scopes
            assert (reply.status not in BEFORE_ANYTHING_ELSE) is allowed, (operation.id, role, reply.status)
            if not allowed:
                error = (await reply.json())["error"]
                assert (reply.status, error["code"]) == (403, "permission_denied")
                assert operation.scope.value in error["message"]


async def test_no_operation_without_a_key(admin):
    for operation in operations():
        for headers in ({}, {"authorization": "Bearer tl-unknown"}, {"authorization": "Basic eDp5"}):
            reply = await admin.raw(operation.method, path_of(operation), headers=headers)
            assert (reply.status, (await reply.json())["error"]["code"]) == (401, "invalid_api_key"), operation.id


async def test_a_body_is_not_looked_at_before_the_key_is(admin):
    for role, status in ((None, 401), ("reader", 403)):
        reply = await admin.ask("POST", "/teams", {"id": ""}, role=role)
        assert reply.status == status


async def test_keys_made_at_run_time_have_the_scopes_they_were_given(admin):
    made = await admin.done("POST", "/keys", {"scopes": ["admin:read"]})
    headers = {"authorization": f"Bearer {made['secret']}"}
    assert (await admin.raw("GET", "/keys", headers=headers)).status == 200
    assert (await admin.raw("DELETE", f"/keys/{made['id']}", headers=headers)).status == 403
    await admin.done("PATCH", f"/keys/{made['id']}", {"scopes": ["admin:write"]})
    assert (await admin.raw("DELETE", f"/keys/{made['id']}", headers=headers)).status == 204
    assert (await admin.raw("GET", "/keys", headers=headers)).status == 401, "it deleted itself"


async def test_whoami_is_for_everybody(admin):
    told = await admin.done("GET", "/whoami", role="nobody")
    assert (told["id"], told["scopes"], told["team"], told["expires_at"]) == ("nobody", [], "default", None)
    made = await admin.done("POST", "/keys", {"id": "k", "team": "filed", "expires_at": "2099-01-01T00:00:00Z"})
    reply = await admin.raw("GET", "/whoami", headers={"x-api-key": made["secret"]})
    told = await reply.json()
    assert (told["id"], told["org"], told["expires_at"]) == ("k", "acme", "2099-01-01T00:00:00Z")
    assert made["secret"] not in await reply.text()
