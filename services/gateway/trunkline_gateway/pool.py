"""The providers in use, over reloads."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.providers.anthropic import open_anthropic
from trunkline_gateway.providers.base import OpenProvider, Provider
from trunkline_gateway.providers.openai import open_openai
from trunkline_gateway.providers.over_chat import OverChat
from trunkline_gateway.providers.worker import open_workers
from trunkline_kit.errors import ConfigError
from trunkline_kit.parts import Kit
from trunkline_kit.providers import AnthropicProvider, OpenAIProvider, WorkerProvider, references_of
from trunkline_kit.providers import Provider as ProviderSettings
from trunkline_kit.secrets import Secret, resolve


class ProviderPool:
    """The providers in use. One whose settings and key did not change lives on over a reload, with its connections.

    A provider that is gone from the configuration stays open until the gateway stops: requests may still be in it.
    """

    def __init__(self, kit: Kit, stack: AsyncExitStack) -> None:
        self._kit = kit
        self._stack = stack
        self._open: dict[str, tuple[ProviderSettings, tuple[Secret, ...], Provider]] = {}

    async def providers(self, config: GatewayConfig) -> Mapping[str, Provider]:
        """One provider for each entry that models may use. Raises ConfigError."""
        found: dict[str, Provider] = {}
        for name, settings in config.providers.items():
            known = self._open.get(name)
            # The same reference may lead to another key by now.
            secrets = tuple(resolve(reference, self._kit.environment) for reference in references_of(settings))
            if known is not None and known[:2] == (settings, secrets):
                found[name] = known[2]
            else:
                opening = _open_provider(name, settings, config.server.concurrent_requests, self._kit)
                found[name] = await self._stack.enter_async_context(opening)
                self._open[name] = (settings, secrets, found[name])
        return found


@asynccontextmanager
async def _open_provider(name: str, settings: ProviderSettings, connections: int, kit: Kit) -> AsyncIterator[Provider]:
    """Every provider answers in every dialect that callers speak. Raises ConfigError."""
    async with _opening(name, settings, connections, kit) as provider:
        speaks_chat = isinstance(settings, OpenAIProvider | WorkerProvider)
        yield OverChat(provider, kit.clock) if speaks_chat else provider


def _opening(name: str, settings: ProviderSettings, connections: int, kit: Kit) -> OpenProvider:
    """One line for each kind. Raises ConfigError for one that this version does not know."""
    match settings:
        case WorkerProvider():
            return open_workers(name, settings, kit.net, kit.clock)
        case OpenAIProvider():
            return open_openai(name, settings, kit.environment, kit.clock, connections)
        case AnthropicProvider():
            return open_anthropic(name, settings, kit.environment, kit.clock, connections)
        case _:
            raise ConfigError(f"providers.{name}: this kind of provider is not built yet")
