"""POST /v1/rerank and /v2/rerank: Cohere's dialect."""

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import Scope

from trunkline_gateway.door import Door
from trunkline_gateway.openapi import errors_of, json_of
from trunkline_gateway.reply import Reply
from trunkline_gateway.rerank_types import RerankAnswer, RerankError
from trunkline_gateway.surface import Surface

_STATUSES = (400, 401, 403, 404, 413, 429, 502, 503, 504)


def rerank_routes(door: Door) -> tuple[HTTPRouteHandler, ...]:
    """The handlers: one by each of the names that clients know."""
    return _route(door, "/v1/rerank", "rerank"), _route(door, "/v2/rerank", "rerankV2")


def _route(door: Door, path: str, operation_id: str) -> HTTPRouteHandler:
    @post(
        path,
        status_code=200,
        operation_id=operation_id,
        summary="Order documents by how well they fit a query.",
        responses={200: json_of(RerankAnswer), **errors_of(*_STATUSES, kind=RerankError)},
        tags=["models"],
    )
    async def rerank(scope: Scope) -> Reply:
        return await door.reply(scope, Surface.RERANK)

    return rerank
