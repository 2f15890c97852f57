"""GET /livez, /readyz and /: whether it is there, whether it is fit, and what it is."""

import msgspec
from litestar import HttpMethod, get, route
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from trunkline_gateway.door import Door
from trunkline_gateway.openapi import json_of
from trunkline_kit.health import ReadinessReport

LIVE = "/livez"
READY = "/readyz"


class Alive(msgspec.Struct, frozen=True):
    status: str = "ok"


class Index(msgspec.Struct, frozen=True):
    """What GET / answers."""

    name: str = "trunkline gateway"
    what: str = "One URL in front of every model. Point an OpenAI SDK at <this URL>/v1 and send a key of this gateway."
    endpoints: tuple[str, ...] = (
        "POST /v1/chat/completions",
        "POST /v1/completions",
        "POST /v1/embeddings",
        "POST /v1/rerank, /v2/rerank",
        "POST /v1/moderations",
        "POST /v1/messages/count_tokens",
        "GET /v1/models",
        "GET /v1/models/{id}",
        "GET /livez",
        "GET /readyz",
        "GET /metrics",
        "GET /openapi.json",
        "/admin/v1: keys, teams, limits, budgets, usage, audit log; see /openapi.json",
    )


def health_routes(door: Door) -> tuple[HTTPRouteHandler, ...]:
    """The handlers. None needs a key."""

    @get(LIVE, operation_id="livez", summary="The process runs.", responses={200: json_of(Alive)}, tags=["health"])
    async def livez() -> Response[Alive]:
        return Response(Alive())

    @get(
        READY,
        operation_id="readyz",
        summary="Whether requests would be answered: every part, up or not, and whether that matters.",
        responses={200: json_of(ReadinessReport), 503: json_of(ReadinessReport, "A part that is needed is down.")},
        tags=["health"],
    )
    async def readyz() -> Response[ReadinessReport]:
        return await _readiness(door)

    @get("/", operation_id="index", summary="What this is.", responses={200: json_of(Index)}, tags=["health"])
    async def index() -> Response[Index]:
        return Response(Index())

    return livez, readyz, index


def health_heads(door: Door) -> tuple[HTTPRouteHandler, ...]:
    """HEAD /livez and /readyz, which some load balancers ask for: as GET, without the body. Not in the document."""

    @route(LIVE, http_method=HttpMethod.HEAD, include_in_schema=False)
    async def livez() -> Response[Alive]:
        return Response(Alive())

    @route(READY, http_method=HttpMethod.HEAD, include_in_schema=False)
    async def readyz() -> Response[ReadinessReport]:
        return await _readiness(door)

    return livez, readyz


async def _readiness(door: Door) -> Response[ReadinessReport]:
    report = await door.pipeline.state.readiness.report()
    return Response(report, status_code=200 if report.ready else 503)
