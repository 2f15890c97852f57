"""GET /admin/v1/audit: every change, who made it, before and after."""

from trunkline_gateway.admin.operations import Answer, Call, Operation, Route
from trunkline_gateway.admin.queries import AuditPage
from trunkline_gateway.admin.shapes import Listing
from trunkline_gateway.directory.objects import AuditEntry, AuditQuery
from trunkline_gateway.directory.registry import Registry
from trunkline_kit.tenants import Scope


def audit_routes(registry: Registry) -> list[Route]:
    """One."""

    async def listed(call: Call) -> Answer:
        page = await registry.audit(query_of(call.asked(AuditPage)))
        return Answer(body=Listing(data=page.items, next=page.next or None))

    operation = Operation(
        id="listAudit",
        method="GET",
        path="/audit",
        scope=Scope.ADMIN_READ,
        summary="List changes, the newest first. Entries are never altered.",
        tag="audit",
        query=AuditPage,
        answer=Listing[AuditEntry],
    )
    return [Route(operation, listed)]


def query_of(asked: AuditPage) -> AuditQuery:
    """The directory's question."""
    return AuditQuery(
        limit=asked.limit,
        before=asked.after,
        actor=asked.actor,
        action=asked.action,
        kind=asked.kind,
        object_id=asked.object_id,
        since=asked.since,
        until=asked.until,
    )
