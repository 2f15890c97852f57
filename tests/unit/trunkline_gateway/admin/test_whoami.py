from datetime import UTC, datetime

import msgspec

from trunkline_gateway.admin.whoami import whoami_of, whoami_routes
from trunkline_gateway.auth import Principal
from trunkline_kit.tenants import Scope


def test_what_a_caller_may_know_of_itself():
    principal = Principal(
        key_id="issuer",
        subject="ann@example.org",
        team="t",
        org="o",
        scopes=frozenset({Scope.METRICS, Scope.ADMIN_READ}),
        expires_s=datetime(2027, 1, 1, tzinfo=UTC).timestamp(),
    )
    assert msgspec.to_builtins(whoami_of(principal)) == {
        "id": "issuer/ann@example.org",
        "team": "t",
        "org": "o",
        "project": None,
        "scopes": ("admin:read", "metrics"),
        "models": ("*",),
        "expires_at": "2027-01-01T00:00:00Z",
        "object": "principal",
    }
    assert whoami_of(Principal(key_id="k")).expires_at is None


async def test_any_key_may_ask(call_of):
    [route] = whoami_routes()
    assert route.operation.scope is None
    assert (await route.work(call_of())).body.id == "ann"
