"""The providers in use, over reloads."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.providers.accents import quirks_of
from trunkline_gateway.providers.anthropic import open_anthropic
from trunkline_gateway.providers.azure import open_azure
from trunkline_gateway.providers.base import OpenProvider, Provider
from trunkline_gateway.providers.bedrock import open_bedrock
from trunkline_gateway.providers.cohere import open_cohere
from trunkline_gateway.providers.gemini import open_gemini, open_vertex
from trunkline_gateway.providers.litellm import open_litellm
from trunkline_gateway.providers.litellm_thread import SharedSdk
from trunkline_gateway.providers.openai import open_openai
from trunkline_gateway.providers.over_chat import TRANSLATED, OverChat
from trunkline_gateway.providers.worker import open_workers
from trunkline_gateway.replicas.opening import SharedReplicas
from trunkline_gateway.surface import Surface
from trunkline_kit.errors import ConfigError
from trunkline_kit.parts import Kit
from trunkline_kit.providers import (
    AnthropicProvider,
    AzureProvider,
    BedrockProvider,
    CohereProvider,
    GeminiProvider,
    LiteLLMProvider,
    OpenAIProvider,
    VertexProvider,
    WorkerProvider,
    references_of,
    speaks_responses,
)
from trunkline_kit.providers import Provider as ProviderSettings
from trunkline_kit.secrets import Secret, resolve

SPEAK_CHAT = (OpenAIProvider, AzureProvider, LiteLLMProvider, WorkerProvider)
"""Kinds that answer chat completions themselves, and other dialects over them."""


class ProviderPool:
    """The providers in use. One whose settings and key did not change lives on over a reload, with its connections.

    A provider that is gone from the configuration stays open until the gateway stops: requests may still be in it.
    """

    def __init__(self, kit: Kit, stack: AsyncExitStack) -> None:
        self._kit = kit
        self._stack = stack
        self._sdk = SharedSdk(stack)
        self._replicas = SharedReplicas(kit)
        self._open: dict[str, tuple[ProviderSettings, tuple[Secret, ...], Provider]] = {}

    async def providers(self, config: GatewayConfig) -> Mapping[str, Provider]:
        """One provider for each entry that models may use. Raises ConfigError; then nothing has changed."""
        connections, shared = config.server.concurrent_requests, (self._sdk, self._replicas)
        found = dict(self._open)
        async with AsyncExitStack() as fresh:
            for name, settings in config.providers.items():
                # The same reference may lead to another key by now.
                secrets = tuple(resolve(reference, self._kit.environment) for reference in references_of(settings))
                known = self._open.get(name)
                if known is None or known[:2] != (settings, secrets):
                    opening = _open_provider(name, settings, connections, self._kit, *shared)
                    found[name] = (settings, secrets, await fresh.enter_async_context(opening))
            self._stack.push_async_callback(fresh.pop_all().aclose)
        self._open = found
        return {name: found[name][2] for name in config.providers}


@asynccontextmanager
async def _open_provider(
    name: str, settings: ProviderSettings, connections: int, kit: Kit, sdk: SharedSdk, replicas: SharedReplicas
) -> AsyncIterator[Provider]:
    """Every provider answers in every dialect that callers speak. Raises ConfigError."""
    opening: OpenProvider
    if isinstance(settings, LiteLLMProvider):
        opening = open_litellm(name, settings, kit.environment, kit.clock, sdk)
    elif isinstance(settings, WorkerProvider):
        opening = open_workers(name, settings, replicas)
    else:
        opening = _opening(name, settings, connections, kit)
    async with opening as provider:
        speaks_chat = isinstance(settings, SPEAK_CHAT)
        quirks = quirks_of(settings.preset) if isinstance(settings, OpenAIProvider) else None
        translated = TRANSLATED - {Surface.RESPONSES} if speaks_responses(settings) else TRANSLATED
        yield OverChat(provider, kit.clock, quirks, translated) if speaks_chat else provider


def _opening(name: str, settings: ProviderSettings, connections: int, kit: Kit) -> OpenProvider:  # noqa: PLR0911 - one for each kind
    """One line for each kind. Raises ConfigError for one that this version does not know."""
    match settings:
        case OpenAIProvider():
            return open_openai(name, settings, kit.environment, kit.clock, connections)
        case AnthropicProvider():
            return open_anthropic(name, settings, kit.environment, kit.clock, connections)
        case BedrockProvider():
            return open_bedrock(name, settings, kit.environment, kit.clock, connections)
        case AzureProvider():
            return open_azure(name, settings, kit.environment, kit.clock, connections)
        case CohereProvider():
            return open_cohere(name, settings, kit.environment, kit.clock, connections)
        case GeminiProvider():
            return open_gemini(name, settings, kit.environment, kit.clock, connections)
        case VertexProvider():
            return open_vertex(name, settings, kit.environment, kit.clock, connections)
        case _:
            raise ConfigError(f"providers.{name}: this kind of provider is not built yet")
