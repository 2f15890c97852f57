"""The providers in use, over reloads."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.providers.anthropic import open_anthropic
from trunkline_gateway.providers.base import OpenProvider, Provider
from trunkline_gateway.providers.openai import open_openai
from trunkline_gateway.providers.over_chat import OverChat
from trunkline_gateway.providers.worker import open_workers
from trunkline_kit.parts import Kit
from trunkline_kit.secrets import Secret, resolve
from trunkline_kit.settings import AnthropicProvider, OpenAIProvider, WorkerProvider
from trunkline_kit.settings import Provider as ProviderSettings


class ProviderPool:
    """The providers in use. One whose settings and key did not change lives on over a reload, with its connections.

    A provider that is gone from the configuration stays open until the gateway stops: requests may still be in it.
    """

    def __init__(self, kit: Kit, stack: AsyncExitStack) -> None:
        self._kit = kit
        self._stack = stack
        self._open: dict[str, tuple[ProviderSettings, Secret | None, Provider]] = {}

    async def providers(self, config: GatewayConfig) -> Mapping[str, Provider]:
        """One provider for each entry that models may use. Raises ConfigError."""
        found: dict[str, Provider] = {}
        for name, settings in config.providers.items():
            known = self._open.get(name)
            # The same reference may lead to another key by now.
            key = _api_key(settings, self._kit)
            if known is not None and known[:2] == (settings, key):
                found[name] = known[2]
            else:
                opening = _open_provider(name, settings, config, self._kit)
                found[name] = await self._stack.enter_async_context(opening)
                self._open[name] = (settings, key, found[name])
        return found


def _api_key(settings: ProviderSettings, kit: Kit) -> Secret | None:
    """None for a provider without one. Raises ConfigError for one that is not there."""
    if isinstance(settings, (OpenAIProvider, AnthropicProvider)) and settings.api_key:
        return resolve(settings.api_key, kit.environment)
    return None


@asynccontextmanager
async def _open_provider(
    name: str, settings: ProviderSettings, config: GatewayConfig, kit: Kit
) -> AsyncIterator[Provider]:
    """Every provider answers in every dialect that callers speak. Raises ConfigError."""
    connections = config.server.concurrent_requests
    if isinstance(settings, AnthropicProvider):
        async with open_anthropic(name, settings, kit.environment, kit.clock, connections) as provider:
            yield provider
        return
    opening: OpenProvider
    if isinstance(settings, WorkerProvider):
        opening = open_workers(name, settings, kit.net, kit.clock)
    else:
        opening = open_openai(name, settings, kit.environment, kit.clock, connections)
    async with opening as inner:
        yield OverChat(inner, kit.clock)
