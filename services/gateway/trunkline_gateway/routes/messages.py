"""POST /v1/messages: Anthropic's dialect, in front of every model."""

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import Scope

from trunkline_gateway.door import Door
from trunkline_gateway.messages_types import Message
from trunkline_gateway.openapi import errors_of, json_of
from trunkline_gateway.reply import Reply
from trunkline_gateway.surface import Surface


def message_route(door: Door) -> HTTPRouteHandler:
    """The handler."""

    @post(
        "/v1/messages",
        status_code=200,
        operation_id="createMessage",
        summary="Answer a conversation in Anthropic's dialect, whole or as a stream of events.",
        responses={200: json_of(Message), **errors_of(400, 401, 404, 413, 429, 502, 503, 504)},
        tags=["models"],
    )
    async def create_message(scope: Scope) -> Reply:
        return await door.reply(scope, Surface.MESSAGES)

    return create_message
