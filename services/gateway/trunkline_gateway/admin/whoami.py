"""GET /admin/v1/whoami: who a key is, for whoever holds it."""

import math
from datetime import UTC, datetime

from trunkline_gateway.admin.operations import Answer, Call, Operation, Route
from trunkline_gateway.admin.shapes import Whoami
from trunkline_gateway.auth import Principal


def whoami_routes() -> list[Route]:
    """One."""

    async def told(call: Call) -> Answer:
        return Answer(body=whoami_of(call.visitor.principal))

    operation = Operation(
        id="whoami",
        method="GET",
        path="/whoami",
        scope=None,
        summary="Who this key is and what it may do. Any key may ask.",
        tag="whoami",
        answer=Whoami,
    )
    return [Route(operation, told)]


def whoami_of(principal: Principal) -> Whoami:
    """What a caller may know of itself."""
    ends = None if math.isinf(principal.expires_s) else datetime.fromtimestamp(principal.expires_s, UTC)
    return Whoami(
        id=principal.actor,
        team=principal.team,
        org=principal.org,
        project=principal.project or None,
        scopes=tuple(sorted(scope.value for scope in principal.scopes)),
        models=principal.models,
        expires_at=ends,
    )
