"""gateway.v1 over gRPC: the same pipeline as HTTP, without its framing."""

# ruff: noqa: N802, ARG002 - names and parameters are the protocol's

import random
import secrets
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from trunkline.gateway.v1 import gateway_service_pb2 as pb
from trunkline.gateway.v1 import gateway_service_pb2_grpc as rpc
from trunkline_gateway.auth import Principal
from trunkline_gateway.catalogue import Offer
from trunkline_gateway.pipeline import Pipeline, call_of
from trunkline_gateway.routes.models import OWNER
from trunkline_gateway.sink import Headers
from trunkline_gateway.surface import Surface
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import Clock
from trunkline_kit.errors import TrunklineError


class GatewayService(rpc.GatewayServiceServicer):
    """Keys come as `authorization` metadata. Errors are statuses, also for a stream that breaks off."""

    def __init__(self, pipeline: Pipeline, clock: Clock) -> None:
        self._pipeline = pipeline
        self._clock = clock

    async def Complete(  # type: ignore[override]  # writes to the context instead of yielding
        self, request: pb.CompleteRequest, context: Any
    ) -> None:
        turn = self._turn(Surface.CHAT, request.request_id, context)
        await self._pipeline.run(turn, request.body_json, MessageSink(context))

    async def Embed(self, request: pb.EmbedRequest, context: Any) -> pb.EmbedResponse:
        turn = self._turn(Surface.EMBEDDING, request.request_id, context)
        sink = OneMessage()
        await self._pipeline.run(turn, request.body_json, sink)
        return sink.message

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:
        catalogue = self._pipeline.state.catalogue
        created = Timestamp(seconds=catalogue.created_s)
        names = catalogue.visible(principal_of(self._pipeline, context))
        return pb.ListModelsResponse(models=[pb.Model(id=name, owned_by=OWNER, created_at=created) for name in names])

    def _turn(self, surface: Surface, request_id: str, context: Any) -> Turn:
        return Turn(
            surface=surface,
            principal=principal_of(self._pipeline, context),
            request_id=request_id or f"req-{secrets.token_hex(12)}",
            # The call's own span is current here, so the request's becomes its child.
            traceparent="",
            started_s=self._clock.monotonic_s(),
        )


class AdminService(rpc.GatewayAdminServiceServicer):
    """For operators. What is not here answers UNIMPLEMENTED."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def ExplainRoute(self, request: pb.ExplainRouteRequest, context: Any) -> pb.ExplainRouteResponse:
        """Where this caller's request could go, in the order of one draw. Nothing is sent; routes are not asked."""
        principal = principal_of(self._pipeline, context)
        turn = Turn(surface=Surface.CHAT, principal=principal, request_id="", traceparent="", started_s=0.0)
        catalogue = self._pipeline.state.catalogue
        name = call_of(turn, request.body_json).control.model
        found = catalogue.resolve(name, principal)
        names = (found.name,) if isinstance(found, Offer) else found.otherwise
        offer = catalogue.offers[names[0]]
        targets = catalogue.targets(names, random.Random())  # noqa: S311 - one draw of a load balancer, not a secret
        attempts = [
            pb.PlannedAttempt(
                model=target.model,
                provider=target.provider,
                provider_model=target.provider_model,
                timeout_s=offer.timeouts.total_s,
            )
            for target in targets[: offer.retries.max_attempts]
        ]
        reasons = [f"model {name}"] if isinstance(found, Offer) else [f"route {name}", "otherwise"]
        return pb.ExplainRouteResponse(attempts=attempts, reasons=reasons)


def principal_of(pipeline: Pipeline, context: Any) -> Principal:
    """Who calls. Raises Unauthenticated."""
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    keys = pipeline.state.catalogue.keys
    return keys.principal(metadata.get("authorization", ""), metadata.get("x-api-key", ""))


class MessageSink:
    """Writes an answer as messages of one call."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._headers: Headers = []

    async def whole(self, body: bytes, headers: Headers) -> None:
        await self._context.write(pb.CompleteResponse(body_json=body, headers=dict(headers)))

    async def open(self, headers: Headers) -> None:
        self._headers = headers

    async def events(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            await self._context.write(pb.CompleteResponse(body_json=chunk, headers=dict(self._headers)))
            self._headers = []

    async def done(self) -> None:
        """The status says it."""

    async def broken(self, error: TrunklineError) -> None:
        raise error


class OneMessage:
    """Keeps a whole answer."""

    def __init__(self) -> None:
        self.message = pb.EmbedResponse()

    async def whole(self, body: bytes, headers: Headers) -> None:
        self.message = pb.EmbedResponse(body_json=body, headers=dict(headers))

    async def open(self, headers: Headers) -> None:
        raise NotImplementedError("embeddings are not streamed")

    async def events(self, chunks: list[bytes]) -> None:
        raise NotImplementedError("embeddings are not streamed")

    async def done(self) -> None:
        """Nothing to do."""

    async def broken(self, error: TrunklineError) -> None:
        raise error
