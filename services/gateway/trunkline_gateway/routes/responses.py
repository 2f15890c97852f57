"""/v1/responses: OpenAI's Responses, in front of every model, and what is kept of them."""

from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response
from litestar.types import Scope

from trunkline_gateway.door import Door
from trunkline_gateway.edge import visit_of
from trunkline_gateway.openapi import errors_of, json_of
from trunkline_gateway.reply import Reply
from trunkline_gateway.responses import stored
from trunkline_gateway.responses.records import owner_of
from trunkline_gateway.responses_types import DeletedResponse, InputItems
from trunkline_gateway.responses_types import Response as ResponseObject
from trunkline_gateway.surface import Surface

_JSON = "application/json"


def response_routes(door: Door) -> tuple[HTTPRouteHandler, ...]:
    """The handlers."""

    @post(
        "/v1/responses",
        status_code=200,
        operation_id="createResponse",
        summary="Answer in the form of OpenAI's Responses, whole or as a stream of `response.*` events.",
        responses={200: json_of(ResponseObject), **errors_of(400, 401, 404, 413, 429, 502, 503, 504)},
        tags=["responses"],
    )
    async def create_response(scope: Scope) -> Reply:
        return await door.reply(scope, Surface.RESPONSES)

    return (create_response, *_stored(door))


def _stored(door: Door) -> tuple[HTTPRouteHandler, ...]:
    """Of what is kept."""

    @get(
        "/v1/responses/{response_id:str}",
        operation_id="getResponse",
        summary="A response that was kept, of any key of the same team.",
        responses={200: json_of(ResponseObject), **errors_of(400, 401, 404, 503)},
        tags=["responses"],
    )
    async def get_response(scope: Scope) -> Response[bytes]:
        owner, response_id = await _asked(door, scope)
        stored.check_query(scope["query_string"])
        return Response((await door.desk.find(owner, response_id)).response, media_type=_JSON)

    @delete(
        "/v1/responses/{response_id:str}",
        status_code=200,
        operation_id="deleteResponse",
        summary="Forget a response. What continues it cannot be continued any more.",
        responses={200: json_of(DeletedResponse), **errors_of(400, 401, 404, 503)},
        tags=["responses"],
    )
    async def delete_response(scope: Scope) -> Response[DeletedResponse]:
        owner, response_id = await _asked(door, scope)
        await door.forget(owner, response_id)
        return Response(DeletedResponse(id=response_id))

    @get(
        "/v1/responses/{response_id:str}/input_items",
        operation_id="listInputItems",
        summary="What a response was made from: the conversation before it and its own input.",
        responses={200: json_of(InputItems), **errors_of(400, 401, 404, 503)},
        tags=["responses"],
    )
    async def list_input_items(scope: Scope) -> Response[bytes]:
        owner, response_id = await _asked(door, scope)
        page = stored.page_asked(scope["query_string"])
        return Response(await stored.input_items(door.desk, owner, response_id, page), media_type=_JSON)

    return get_response, delete_response, list_input_items


async def _asked(door: Door, scope: Scope) -> tuple[str, str]:
    """Whose response, and which. Raises Unauthenticated."""
    principal = await door.principal(visit_of(scope))
    return owner_of(principal), str(scope["path_params"]["response_id"])
