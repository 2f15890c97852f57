"""The Litestar application: routes, and every framework error in our shape."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from litestar import Litestar, Request
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response
from prometheus_client import CollectorRegistry

from trunkline_gateway.admin.operations import Route
from trunkline_gateway.admin.serving import admin_mount, identify_at
from trunkline_gateway.door import Door
from trunkline_gateway.edge import foreseen, visit_of
from trunkline_gateway.http_errors import Problem, from_framework
from trunkline_gateway.manners import manner_at
from trunkline_gateway.openapi import document_route
from trunkline_gateway.routes.chat import chat_route
from trunkline_gateway.routes.completions import completion_route
from trunkline_gateway.routes.embeddings import embedding_route
from trunkline_gateway.routes.health import health_heads, health_routes
from trunkline_gateway.routes.messages import message_route
from trunkline_gateway.routes.metrics import metrics_route
from trunkline_gateway.routes.models import model_routes
from trunkline_gateway.routes.moderations import moderation_route
from trunkline_gateway.routes.rerank import rerank_routes
from trunkline_gateway.routes.responses import response_routes
from trunkline_gateway.routes.token_counts import token_count_route
from trunkline_kit.errors import TrunklineError


def http_app(door: Door, registry: CollectorRegistry, admin: Sequence[Route] = ()) -> Litestar:
    """No middleware, no documentation pages, no logging set-up: what serves requests and nothing else."""
    mounts = [admin_mount(admin, identify_at(door))] if admin else []
    document = document_route(partial(routes_of, door, registry), [route.operation for route in admin])
    return Litestar(
        [*routes_of(door, registry), *health_heads(door), document, *mounts],
        openapi_config=None,
        logging_config=None,
        exception_handlers={HTTPException: _framework_error, TrunklineError: _own_error, Exception: _fault},
    )


def routes_of(door: Door, registry: CollectorRegistry) -> list[HTTPRouteHandler]:
    """Everything that is in the document."""
    return [
        chat_route(door),
        completion_route(door),
        embedding_route(door),
        message_route(door),
        *response_routes(door),
        token_count_route(door),
        *rerank_routes(door),
        moderation_route(door),
        *model_routes(door),
        *health_routes(door),
        metrics_route(door, registry),
    ]


def _own_error(request: Request[Any, Any, Any], error: TrunklineError) -> Response[bytes]:
    return _response(_problem(request, error))


def _problem(request: Request[Any, Any, Any], error: TrunklineError) -> Problem:
    """In the dialect of the path."""
    return manner_at(request.scope["path"]).problem(error)


def _fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return _response(_problem(request, foreseen(error, visit_of(request.scope))))


def _framework_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    own, headers = from_framework(error, request.method, request.url.path)
    found = _problem(request, own)
    return _response(Problem(found.status, [*found.headers, *headers], found.body))


def _response(found: Problem) -> Response[bytes]:
    headers = {name.decode(): value.decode("latin-1") for name, value in found.headers}
    return Response(found.body, status_code=found.status, headers=headers, media_type="application/json")
