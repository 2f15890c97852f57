"""POST /v1/moderations: OpenAI's dialect, judged by our own guardrails."""

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import Scope

from trunkline_gateway.door import Door
from trunkline_gateway.moderation_types import ModerationAnswer
from trunkline_gateway.openapi import errors_of, json_of
from trunkline_gateway.reply import Reply
from trunkline_gateway.surface import Surface


def moderation_route(door: Door) -> HTTPRouteHandler:
    """The handler."""

    @post(
        "/v1/moderations",
        status_code=200,
        operation_id="createModeration",
        summary="Say what the guardrails object to in a text.",
        responses={200: json_of(ModerationAnswer), **errors_of(400, 401, 413, 429, 503)},
        tags=["models"],
    )
    async def create_moderation(scope: Scope) -> Reply:
        return await door.reply(scope, Surface.MODERATION)

    return create_moderation
