"""What must work for the main job, and what we can live without."""

from collections.abc import Iterable, Mapping
from functools import partial

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trunkline_gateway.catalogue import Catalogue, Offer
from trunkline_gateway.providers.base import Provider
from trunkline_kit.clock import Clock
from trunkline_kit.errors import TrunklineError, Unavailable
from trunkline_kit.health import Readiness

CHECK_TIMEOUT_S = 1.0


def readiness_of(
    catalogue: Catalogue, providers: Mapping[str, Provider], channels: Mapping[str, grpc.aio.Channel], clock: Clock
) -> Readiness:
    """One part per model and per service in use.

    A model is needed if a route ends up with it when nothing else is decided: for `auto`, that is the main job. Without
    routes, one model that answers is enough. Router, cache and guardrails are never needed: requests do without, as
    their headers say, and a gateway that left the rotation for them would make a small outage a big one.
    """
    readiness = Readiness(clock)
    needed = {route.otherwise[0] for route in catalogue.routes.values()}
    readiness.add("models", partial(_any_model, catalogue.offers.values(), providers), required=not needed)
    for name, offer in catalogue.offers.items():
        readiness.add(f"model {name}", partial(_model, offer, providers), required=name in needed)
    for name, channel in channels.items():
        readiness.add(name, partial(_service, channel), required=False)
    return readiness


async def _model(offer: Offer, providers: Mapping[str, Provider]) -> str | None:
    """Up if one deployment is."""
    failed: TrunklineError | None = None
    for target in offer.targets:
        try:
            detail = await providers[target.provider].check(target.provider_model)
        except TrunklineError as error:
            failed = error
        else:
            return f"{target.provider}: {detail}" if detail else target.provider
    raise failed or Unavailable("no deployment")


async def _any_model(offers: Iterable[Offer], providers: Mapping[str, Provider]) -> str | None:
    for offer in offers:
        try:
            await _model(offer, providers)
        except TrunklineError:
            continue
        return f"{offer.name} answers"
    raise Unavailable("no model can answer; see the other parts, and models: in the configuration")


async def _service(channel: grpc.aio.Channel) -> str | None:
    try:
        stub = health_pb2_grpc.HealthStub(channel)
        reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=CHECK_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        raise Unavailable(f"{error.code().name.lower()}: requests do without it") from error
    if reply.status != health_pb2.HealthCheckResponse.SERVING:
        raise Unavailable("not serving: requests do without it")
    return None
