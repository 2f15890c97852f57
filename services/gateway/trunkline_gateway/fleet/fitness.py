"""Which deployments can do what a request asks: known when a configuration comes into force.

A request is only looked at where the deployments that it may go to differ.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from trunkline_gateway.dialects.abilities import Abilities, narrowed
from trunkline_gateway.dialects.canonical import Dialect
from trunkline_gateway.dialects.matrix import PROVIDERS
from trunkline_gateway.dialects.needs import NATIVE
from trunkline_gateway.plan import Target
from trunkline_gateway.surface import Surface
from trunkline_kit.profiles import Profile
from trunkline_kit.providers import (
    AnthropicProvider,
    BedrockProvider,
    CohereProvider,
    GeminiProvider,
    Provider,
    VertexProvider,
    WorkerProvider,
    speaks_responses,
)

DIALECTS = {
    Surface.CHAT: Dialect.CHAT,
    Surface.MESSAGES: Dialect.MESSAGES,
    Surface.RESPONSES: Dialect.RESPONSES,
}
"""Surfaces whose requests can ask for different things."""
WORKERS_LACK = frozenset({"images", "image_urls", "audio_input", "audio_output", "files", "file_urls", "file_ids"})
"""Our workers' models read text; what else they can do differs from one to the next."""

_PROTOCOLS: tuple[tuple[type, str], ...] = (
    (AnthropicProvider, "anthropic"),
    (GeminiProvider, "gemini"),
    (VertexProvider, "gemini"),
    (BedrockProvider, "bedrock"),
    (CohereProvider, "cohere"),
)
"""All others speak OpenAI's."""
_ABILITIES = {provider.name: provider.abilities for provider in PROVIDERS}
_FLAGS = tuple(field.name for field in msgspec.structs.fields(Abilities) if field.type is bool)


class Lacks(msgspec.Struct, frozen=True):
    """What the deployments of one model cannot do for one dialect of callers."""

    each: tuple[frozenset[str], ...] = ()
    """In the order of the targets."""
    some: frozenset[str] = frozenset()
    """What at least one of them lacks."""
    all: frozenset[str] = frozenset()
    """What none of them can do."""
    varied: frozenset[str] = frozenset()
    """What some of them can do and others cannot."""


def lacks_of(targets: Sequence[Target], providers: Mapping[str, Provider]) -> dict[Dialect, Lacks]:
    """Of one model, for each dialect."""
    found = {}
    for dialect in DIALECTS.values():
        each = tuple(lacking(dialect, providers.get(target.provider), target.profile) for target in targets)
        some, every = frozenset().union(*each), each[0].intersection(*each)
        found[dialect] = Lacks(each, some, every, some - every)
    return found


def lacking(dialect: Dialect, settings: Provider | None, profile: Profile | None) -> frozenset[str]:
    """What one deployment cannot do. Where bytes pass through, only what its profile says."""
    protocol = protocol_of(settings)
    abilities = _ABILITIES.get(protocol)
    cannot = frozenset() if profile is None else profile.cannot
    if isinstance(settings, WorkerProvider):
        return cannot | WORKERS_LACK
    if abilities is None or abilities.native is dialect or (dialect is Dialect.RESPONSES and _has_responses(settings)):
        return cannot
    able = narrowed(abilities, profile)
    return frozenset(name for name in _FLAGS if not getattr(able, name)) | {NATIVE}


def _has_responses(settings: Provider | None) -> bool:
    return settings is not None and speaks_responses(settings)


def protocol_of(settings: Provider | None) -> str:
    """By its name in the matrix of dialects."""
    return next((name for kind, name in _PROTOCOLS if isinstance(settings, kind)), "openai")


def differences(lacks: Iterable[Lacks]) -> frozenset[str]:
    """What some deployments of these models can do and others cannot: all that is worth looking for."""
    some: frozenset[str] = frozenset()
    every: frozenset[str] | None = None
    for one in lacks:
        some |= one.some
        every = one.all if every is None else every & one.all
    return some - (every or frozenset())
