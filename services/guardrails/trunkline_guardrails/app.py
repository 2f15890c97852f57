"""Composition root of the guardrails."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from trunkline.guardrails.v1.guardrails_service_pb2_grpc import add_GuardrailsServiceServicer_to_server
from trunkline_guardrails.config import GuardrailsConfig
from trunkline_guardrails.metrics import GuardrailsMetrics
from trunkline_guardrails.policy import PolicyTable, compile_policies, unenforced
from trunkline_guardrails.service import Checks, GuardrailsService
from trunkline_kit.parts import Kit
from trunkline_kit.settings import Policy, Settings

_log = logging.getLogger(__name__)


class GuardrailsPart:
    """Running guardrails."""

    name = "guardrails"

    def __init__(self, address: str, service: GuardrailsService, metrics: GuardrailsMetrics) -> None:
        self.address = address
        self._service = service
        self._metrics = metrics

    async def apply(self, settings: Settings) -> None:
        """Judge by the policies of `settings` from the next call on. Raises ConfigError and keeps the old ones."""
        self._service.use(_load(settings.policies, self._metrics))


@asynccontextmanager
async def open_guardrails(config: GuardrailsConfig, kit: Kit) -> AsyncIterator[GuardrailsPart]:
    """Serve `trunkline.guardrails.v1` at `config.listen` until the block ends. Raises ConfigError."""
    metrics = GuardrailsMetrics(kit.metrics)
    service = GuardrailsService(_load(config.policies, metrics), Checks(config, kit.clock), metrics)
    register = partial(add_GuardrailsServiceServicer_to_server, service)
    async with kit.net.serve(config.listen, register) as address:
        yield GuardrailsPart(address, service, metrics)


def _load(policies: dict[str, Policy], metrics: GuardrailsMetrics) -> PolicyTable:
    table = compile_policies(policies)
    idle = unenforced(policies)
    for line in idle:
        _log.warning("%s", line)
    metrics.loaded(len(idle))
    return table
