"""The OpenAPI document, rendered once: routes as Litestar describes them, bodies from the request types."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from litestar import Litestar, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Components, SecurityScheme
from litestar.response import Response

from trunkline_gateway.admin.document import document_of
from trunkline_gateway.admin.operations import Operation
from trunkline_gateway.messages_types import MessagesRequest, TokenCountRequest
from trunkline_gateway.moderation_types import ModerationRequest
from trunkline_gateway.openai_types import ChatRequest, CompletionRequest, EmbeddingRequest
from trunkline_gateway.rerank_types import RerankRequest
from trunkline_gateway.responses_types import ResponsesRequest
from trunkline_kit.error_shapes import OpenAIErrorBody

PATH = "/openapi.json"
VERSION = "0.1.0"

_BODIES = {
    "/v1/chat/completions": ChatRequest,
    "/v1/completions": CompletionRequest,
    "/v1/embeddings": EmbeddingRequest,
    "/v1/messages": MessagesRequest,
    "/v1/responses": ResponsesRequest,
    "/v1/messages/count_tokens": TokenCountRequest,
    "/v1/rerank": RerankRequest,
    "/v2/rerank": RerankRequest,
    "/v1/moderations": ModerationRequest,
}
_OPEN = ("/", "/livez", "/readyz")
"""Without a key."""
_OF_KEYS = (401, 403, 503)
"""Wherever a key is looked at."""
_STREAMS = ("/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses")
_REF = "#/components/schemas/{name}"
_WORDS = {
    400: "Something in the request is wrong; `param` names it.",
    401: "No key, or one that is not known.",
    403: "A key that lacks the scope, or is used from elsewhere than it may.",
    404: "No such model for this key.",
    413: "The body is over the limit.",
    429: "A rate is used up.",
    502: "No provider could answer.",
    503: "The gateway or a part it needs is busy or down.",
    504: "It took longer than it may.",
}


def json_of(kind: type, description: str = "The answer.") -> ResponseSpec:
    """A documented JSON answer."""
    return ResponseSpec(kind, generate_examples=False, description=description)


def errors_of(*statuses: int, kind: type = OpenAIErrorBody) -> dict[int, ResponseSpec]:
    """Documented errors: one shape for all of a surface."""
    return {status: json_of(kind, _WORDS[status]) for status in statuses}


def document(handlers: list[HTTPRouteHandler], operations: Sequence[Operation] = ()) -> bytes:
    """The document as JSON: of these handlers, and of the admin API's operations.

    Made from a twin of the application: the serving one carries none of the framework's documentation pages, some of
    which would load scripts from elsewhere.
    """
    config = OpenAPIConfig(
        title="Trunkline gateway",
        version=VERSION,
        description="One URL in front of every model. Other methods of a path answer 405, other paths 404.",
        components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"key": []}],
    )
    twin = Litestar([*handlers], openapi_config=config, logging_config=None)
    schema = twin.openapi_schema.to_schema()
    _add_bodies(schema)
    _add_streams(schema)
    # The framework takes a path for a URI; it is a name.
    schema["paths"]["/v1/models/{model_id}"]["get"]["parameters"][0]["schema"] = {"type": "string", "minLength": 1}
    _say_who_may(schema)
    if operations:
        admin = document_of(operations)
        schema["paths"].update(admin.paths)
        schema["components"]["schemas"].update(admin.schemas)
    return msgspec.json.encode(schema)


def document_route(
    handlers: Callable[[], list[HTTPRouteHandler]], operations: Sequence[Operation] = ()
) -> HTTPRouteHandler:
    """GET /openapi.json. Rendered at the first request, beside the event loop: it takes a tenth of a second."""
    rendered: list[bytes] = []
    one_at_a_time = asyncio.Lock()

    @get(PATH, include_in_schema=False)
    async def openapi() -> Response[bytes]:
        async with one_at_a_time:
            if not rendered:
                rendered.append(await asyncio.to_thread(document, handlers(), operations))
        return Response(rendered[0], media_type="application/json")

    return openapi


def _say_who_may(schema: dict[str, Any]) -> None:
    """Said of each operation by itself: not all clients look at the document's own `security`."""
    error = {"application/json": {"schema": {"$ref": _REF.format(name=OpenAIErrorBody.__name__)}}}
    for path, item in schema["paths"].items():
        for operation in item.values():
            operation["security"] = [] if path in _OPEN else [{"key": []}]
            for status in () if path in _OPEN else _OF_KEYS:
                operation["responses"].setdefault(str(status), {"description": _WORDS[status], "content": error})


def _add_bodies(schema: dict[str, Any]) -> None:
    kinds = list(dict.fromkeys(_BODIES.values()))
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schema["components"].setdefault("schemas", {}).update(components)
    for path, kind in _BODIES.items():
        reference = {"$ref": _REF.format(name=kind.__name__)}
        content = {"application/json": {"schema": reference}}
        schema["paths"][path]["post"]["requestBody"] = {"required": True, "content": content}


def _add_streams(schema: dict[str, Any]) -> None:
    for path in _STREAMS:
        answer = schema["paths"][path]["post"]["responses"]["200"]
        answer["content"]["text/event-stream"] = {"schema": {"type": "string"}}
