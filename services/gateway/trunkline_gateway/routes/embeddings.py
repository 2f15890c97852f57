"""POST /v1/embeddings."""

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import Scope

from trunkline_gateway.answers import EmbeddingList
from trunkline_gateway.door import Door
from trunkline_gateway.openapi import errors_of, json_of
from trunkline_gateway.reply import Reply
from trunkline_gateway.surface import Surface


def embedding_route(door: Door) -> HTTPRouteHandler:
    """The handler."""

    @post(
        "/v1/embeddings",
        status_code=200,
        operation_id="createEmbedding",
        summary="Turn texts into vectors.",
        responses={200: json_of(EmbeddingList), **errors_of(400, 401, 404, 413, 429, 502, 503, 504)},
        tags=["models"],
    )
    async def create_embedding(scope: Scope) -> Reply:
        return await door.reply(scope, Surface.EMBEDDING)

    return create_embedding
