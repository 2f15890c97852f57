"""GET /v1/models and /v1/models/{id}: what this key may name."""

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response
from litestar.types import Scope

from trunkline_gateway.door import Door
from trunkline_gateway.edge import visit_of
from trunkline_gateway.openapi import errors_of, json_of

OWNER = "trunkline"


class ModelCard(msgspec.Struct, frozen=True):
    """One model or route."""

    id: str
    created: int
    object: str = "model"
    owned_by: str = OWNER


class ModelList(msgspec.Struct, frozen=True):
    """What GET /v1/models answers."""

    data: list[ModelCard]
    object: str = "list"


def model_routes(door: Door) -> tuple[HTTPRouteHandler, ...]:
    """The handlers."""

    @get(
        "/v1/models",
        operation_id="listModels",
        summary="Models and routes that this key may name.",
        responses={200: json_of(ModelList), **errors_of(401)},
        tags=["models"],
    )
    async def list_models(scope: Scope) -> Response[ModelList]:
        return Response(await models_of(door, scope))

    @get(
        "/v1/models/{model_id:path}",
        operation_id="retrieveModel",
        summary="One model or route. Ids may contain slashes.",
        responses={200: json_of(ModelCard), **errors_of(400, 401, 404)},
        tags=["models"],
    )
    async def retrieve_model(scope: Scope) -> Response[ModelCard]:
        principal = await door.principal(visit_of(scope))
        catalogue = door.pipeline.state.catalogue
        name = str(scope["path_params"]["model_id"]).removeprefix("/")
        catalogue.resolve(name, principal)
        return Response(ModelCard(name, catalogue.created_s))

    return list_models, retrieve_model


async def models_of(door: Door, scope: Scope) -> ModelList:
    """Raises Unauthenticated."""
    principal = await door.principal(visit_of(scope))
    catalogue = door.pipeline.state.catalogue
    return ModelList([ModelCard(name, catalogue.created_s) for name in catalogue.visible(principal)])
