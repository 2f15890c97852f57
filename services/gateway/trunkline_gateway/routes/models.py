"""GET /v1/models and /v1/models/{id}: what this key may name. With `anthropic-version`, in Anthropic's shape."""

from datetime import UTC, datetime
from typing import Literal

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


class AnthropicModelCard(msgspec.Struct, frozen=True):
    """The same in Anthropic's words (API reference, "Models", read 2026-11-25)."""

    id: str
    created_at: str
    display_name: str
    type: Literal["model"] = "model"


class AnthropicModelList(msgspec.Struct, frozen=True):
    """All of them: there is never a further page."""

    data: list[AnthropicModelCard]
    first_id: str | None
    last_id: str | None
    has_more: bool = False


def model_routes(door: Door) -> tuple[HTTPRouteHandler, ...]:
    """The handlers."""

    @get(
        "/v1/models",
        operation_id="listModels",
        summary="Models and routes that this key may name.",
        responses={200: json_of(ModelList), **errors_of(401)},
        tags=["models"],
    )
    async def list_models(scope: Scope) -> Response[ModelList | AnthropicModelList]:
        found = await models_of(door, scope)
        return Response(_listed(found) if _for_anthropic(scope) else found)

    @get(
        "/v1/models/{model_id:path}",
        operation_id="retrieveModel",
        summary="One model or route. Ids may contain slashes.",
        responses={200: json_of(ModelCard), **errors_of(400, 401, 404)},
        tags=["models"],
    )
    async def retrieve_model(scope: Scope) -> Response[ModelCard | AnthropicModelCard]:
        principal = await door.principal(visit_of(scope))
        catalogue = door.pipeline.state.catalogue
        name = str(scope["path_params"]["model_id"]).removeprefix("/")
        catalogue.resolve(name, principal)
        card = ModelCard(name, catalogue.created_s)
        return Response(_card(card) if _for_anthropic(scope) else card)

    return list_models, retrieve_model


def _for_anthropic(scope: Scope) -> bool:
    """Its SDKs send this header with every request, nobody else's do."""
    return bool(visit_of(scope).header(b"anthropic-version"))


def _card(card: ModelCard) -> AnthropicModelCard:
    return AnthropicModelCard(card.id, datetime.fromtimestamp(card.created, UTC).isoformat(), card.id)


def _listed(found: ModelList) -> AnthropicModelList:
    cards = [_card(card) for card in found.data]
    return AnthropicModelList(cards, cards[0].id if cards else None, cards[-1].id if cards else None)


async def models_of(door: Door, scope: Scope) -> ModelList:
    """Raises Unauthenticated."""
    principal = await door.principal(visit_of(scope))
    catalogue = door.pipeline.state.catalogue
    return ModelList([ModelCard(name, catalogue.created_s) for name in catalogue.visible(principal)])
