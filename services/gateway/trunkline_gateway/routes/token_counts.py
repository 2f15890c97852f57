"""POST /v1/messages/count_tokens: how many tokens a request in Anthropic's dialect would be."""

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import Scope

from trunkline_gateway.door import Door
from trunkline_gateway.openapi import errors_of, json_of
from trunkline_gateway.reply import Reply
from trunkline_gateway.surface import Surface
from trunkline_gateway.token_counts import TokenCount


def token_count_route(door: Door) -> HTTPRouteHandler:
    """The handler."""

    @post(
        "/v1/messages/count_tokens",
        status_code=200,
        operation_id="countMessageTokens",
        summary="Count the tokens of a request without sending it; `x-trunkline-count` says how.",
        responses={200: json_of(TokenCount), **errors_of(400, 401, 404, 413, 429, 503)},
        tags=["models"],
    )
    async def count_message_tokens(scope: Scope) -> Reply:
        return await door.reply(scope, Surface.TOKEN_COUNT)

    return count_message_tokens
