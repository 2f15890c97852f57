"""gateway.v1 over gRPC: the same pipeline as HTTP, without its framing."""

# ruff: noqa: N802, ARG002 - names and parameters are the protocol's

import secrets
from typing import Any
from urllib.parse import unquote

from google.protobuf.timestamp_pb2 import Timestamp

from trunkline.gateway.v1 import gateway_service_pb2 as pb
from trunkline.gateway.v1 import gateway_service_pb2_grpc as rpc
from trunkline_gateway.admin import messages
from trunkline_gateway.admin.objects import make
from trunkline_gateway.admin.routes import AdminParts
from trunkline_gateway.callers import Caller, Credentials
from trunkline_gateway.catalogue import Offer
from trunkline_gateway.directory.objects import Actor, Kind
from trunkline_gateway.pipeline import Pipeline, call_of
from trunkline_gateway.routes.models import OWNER
from trunkline_gateway.sink import Headers
from trunkline_gateway.surface import Surface
from trunkline_gateway.tags import HEADER as TAGS_HEADER
from trunkline_gateway.tags import tags_of
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import Clock
from trunkline_kit.errors import TrunklineError
from trunkline_kit.tenants import Scope
from trunkline_policy.balancing import Ruling

_FORWARDED = "x-forwarded-for"


class GatewayService(rpc.GatewayServiceServicer):
    """Keys come as `authorization` metadata. Errors are statuses, also for a stream that breaks off."""

    def __init__(self, pipeline: Pipeline, clock: Clock) -> None:
        self._pipeline = pipeline
        self._clock = clock

    async def Complete(  # type: ignore[override]  # writes to the context instead of yielding
        self, request: pb.CompleteRequest, context: Any
    ) -> None:
        turn = await self._turn(Surface.CHAT, request.request_id, context)
        await self._pipeline.run(turn, request.body_json, MessageSink(context))

    async def Embed(self, request: pb.EmbedRequest, context: Any) -> pb.EmbedResponse:
        turn = await self._turn(Surface.EMBEDDING, request.request_id, context)
        sink = OneMessage()
        await self._pipeline.run(turn, request.body_json, sink)
        return sink.message

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:
        catalogue = self._pipeline.state.catalogue
        created = Timestamp(seconds=catalogue.created_s)
        caller = await caller_of(self._pipeline, context)
        names = catalogue.visible(caller.principal)
        return pb.ListModelsResponse(models=[pb.Model(id=name, owned_by=OWNER, created_at=created) for name in names])

    async def _turn(self, surface: Surface, request_id: str, context: Any) -> Turn:
        caller = await caller_of(self._pipeline, context)
        return Turn(
            surface=surface,
            principal=caller.principal,
            credential=caller.digest,
            tags=tags_of(caller.principal.tags, _metadata(context).get(TAGS_HEADER, "")),
            request_id=request_id or f"req-{secrets.token_hex(12)}",
            # The call's own span is current here, so the request's becomes its child.
            traceparent="",
            started_s=self._clock.monotonic_s(),
        )


class AdminService(rpc.GatewayAdminServiceServicer):
    """For operators: the same as the admin API over HTTP. What is not here answers UNIMPLEMENTED."""

    def __init__(self, pipeline: Pipeline, admin: AdminParts) -> None:
        self._pipeline = pipeline
        self._admin = admin

    async def ListKeys(self, request: pb.ListKeysRequest, context: Any) -> pb.ListKeysResponse:
        await caller_of(self._pipeline, context, Scope.ADMIN_READ)
        page = await self._admin.registry.list(messages.keys_query(request))
        return pb.ListKeysResponse(keys=[messages.key_message(item) for item in page.items], next_page_token=page.next)

    async def CreateKey(self, request: pb.CreateKeyRequest, context: Any) -> pb.CreateKeyResponse:
        actor = await self._actor(context)
        created = await make(self._admin.registry, Kind.KEY, messages.new_key_body(request), actor)
        secret = created.secret.reveal() if created.secret is not None else ""
        return pb.CreateKeyResponse(key=messages.key_message(created.item), secret=secret)

    async def RevokeKey(self, request: pb.RevokeKeyRequest, context: Any) -> pb.RevokeKeyResponse:
        actor = await self._actor(context)
        item = await self._admin.registry.get(Kind.KEY, request.key_id)
        await self._admin.registry.delete(Kind.KEY, item.id, actor)
        return pb.RevokeKeyResponse(key=messages.key_message(item))

    async def GetUsage(self, request: pb.GetUsageRequest, context: Any) -> pb.GetUsageResponse:
        await caller_of(self._pipeline, context, Scope.ADMIN_READ)
        report = await self._admin.reports.report(messages.usage_asked(request))
        return pb.GetUsageResponse(rows=[messages.usage_row(line) for line in report.lines])

    async def _actor(self, context: Any) -> Actor:
        """Who changes something, for the audit log. Raises Unauthenticated, PermissionDenied."""
        principal = (await caller_of(self._pipeline, context, Scope.ADMIN_WRITE)).principal
        source = self._pipeline.state.callers.address(credentials_of(context))
        return Actor(id=principal.actor, request_id=f"req-{secrets.token_hex(12)}", source=source)

    async def ExplainRoute(self, request: pb.ExplainRouteRequest, context: Any) -> pb.ExplainRouteResponse:
        """Where this caller's request could go, in the order of one draw. Nothing is sent; routes are not asked."""
        principal = (await caller_of(self._pipeline, context)).principal
        turn = Turn(surface=Surface.CHAT, principal=principal, request_id="", traceparent="", started_s=0.0)
        catalogue = self._pipeline.state.catalogue
        call = call_of(turn, request.body_json)
        name = call.control.model
        found = catalogue.resolve(name, principal)
        names = (found.name,) if isinstance(found, Offer) else found.otherwise
        offer = catalogue.offers[names[0]]
        planned = self._pipeline.plan(self._pipeline.state, names, call, principal.team)
        attempts = [
            pb.PlannedAttempt(
                model=target.model,
                provider=target.provider,
                provider_model=target.provider_model,
                timeout_s=offer.timeouts.total_s,
            )
            for target in planned.chains.places[: offer.retries.max_attempts]
        ]
        reasons = [f"model {name}"] if isinstance(found, Offer) else [f"route {name}", "otherwise"]
        reasons += [_said(model, ruling) for model, ruling in planned.rulings]
        return pb.ExplainRouteResponse(attempts=attempts, reasons=reasons)


def _said(model: str, ruling: Ruling) -> str:
    """Why some deployments of a model are not tried, or tried last."""
    return f"{model}: {', '.join(ruling.keys)} {'last' if ruling.last else 'not'}: {ruling.by}"


async def caller_of(pipeline: Pipeline, context: Any, needed: Scope = Scope.INFERENCE) -> Caller:
    """Who calls. Raises Unauthenticated, and PermissionDenied for a key that may not do what is needed."""
    caller = await pipeline.state.callers.identify(credentials_of(context))
    caller.principal.require(needed)
    return caller


def credentials_of(context: Any) -> Credentials:
    """What a call shows of its caller."""
    metadata = _metadata(context)
    return Credentials(
        authorization=metadata.get("authorization", ""),
        api_key=metadata.get("x-api-key", ""),
        peer=peer_address(context.peer() or ""),
        forwarded=metadata.get(_FORWARDED, ""),
    )


def _metadata(context: Any) -> dict[str, str]:
    pairs = [(key, value) for key, value in context.invocation_metadata() or () if isinstance(value, str)]
    forwarded = ",".join(value for key, value in pairs if key == _FORWARDED)
    return {**dict(pairs), _FORWARDED: forwarded} if forwarded else dict(pairs)


def peer_address(peer: str) -> str:
    """The address in gRPC's name of the other end, such as `ipv4:10.0.0.1:4711` or `ipv6:[::1]:4711`."""
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return ""
    return unquote(rest).rpartition(":")[0].strip("[]")


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
