"""GET /metrics: what the metrics listener serves, for those who reach this address only and have a key for it."""

import asyncio

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Response
from litestar.types import Scope
from prometheus_client import CollectorRegistry

from trunkline_gateway.door import Door
from trunkline_gateway.edge import visit_of
from trunkline_gateway.openapi import errors_of
from trunkline_kit.metrics import page_of
from trunkline_kit.tenants import Scope as TenantScope

_PAGE = ResponseSpec(str, generate_examples=False, description="Prometheus's text format.", media_type="text/plain")


def metrics_route(door: Door, registry: CollectorRegistry) -> HTTPRouteHandler:
    """The handler. The key needs the scope `metrics`."""

    @get(
        "/metrics",
        operation_id="metrics",
        summary="What this process counts, for Prometheus. Needs a key with the scope `metrics`.",
        responses={200: _PAGE, **errors_of(401, 403)},
        tags=["health"],
    )
    async def metrics(scope: Scope) -> Response[bytes]:
        visit = visit_of(scope)
        await door.caller(visit, TenantScope.METRICS)
        # On a thread: process metrics are read from /proc, and a long page takes its time.
        body, content_type = await asyncio.to_thread(page_of, registry, visit.text(b"accept"))
        return Response(body, headers={"cache-control": "no-store"}, media_type=content_type)

    return metrics
