"""POST /v1/chat/completions."""

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import Scope

from trunkline_gateway.answers import ChatCompletion
from trunkline_gateway.door import Door
from trunkline_gateway.openapi import errors_of, json_of
from trunkline_gateway.reply import Reply
from trunkline_gateway.surface import Surface


def chat_route(door: Door) -> HTTPRouteHandler:
    """The handler."""

    @post(
        "/v1/chat/completions",
        status_code=200,
        operation_id="createChatCompletion",
        summary="Answer a conversation, whole or as a stream of events.",
        responses={200: json_of(ChatCompletion), **errors_of(400, 401, 404, 413, 429, 502, 503, 504)},
        tags=["models"],
    )
    async def create_chat_completion(scope: Scope) -> Reply:
        return await door.reply(scope, Surface.CHAT)

    return create_chat_completion
