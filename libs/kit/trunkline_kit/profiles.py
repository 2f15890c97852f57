"""What models can do, where that differs from the protocol that they are asked by. Data: a profile says the difference.

Sources (read 2026-11-25): Microsoft, "Azure OpenAI reasoning models", for what OpenAI's reasoning models refuse;
Anthropic, "Extended thinking", "Adaptive thinking" and "Migrating to Claude Opus 4.7", and AWS, model card "Claude Opus
4.7", for sampling and thinking of Claude;
DeepSeek, "Reasoning Model (deepseek-reasoner)" and "Create Chat Completion"; OpenAI, "Models", for context windows.
"""

import fnmatch
from collections.abc import Iterator, Mapping
from typing import Annotated

from msgspec import Meta, Struct, structs

Tokens = Annotated[int, Meta(ge=1)]
ANY = "any"
"""The profile that says nothing."""


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, cache_hash=True):
    """What one model can do; what is left out is as its protocol has it."""

    like: str | None = None
    """A built-in profile that this one differs from; left out: what fits the model's name; `any`: none."""
    context_tokens: Tokens | None = None
    """Of prompt and answer together."""
    output_tokens_max: Tokens | None = None
    """What is asked for where the protocol needs a number and the caller gave none."""
    tools: bool | None = None
    one_tool_at_a_time: bool | None = None
    images: bool | None = None
    image_urls: bool | None = None
    audio_input: bool | None = None
    audio_output: bool | None = None
    files: bool | None = None
    json_object: bool | None = None
    json_schema: bool | None = None
    thinking: bool | None = None
    thinking_budget: bool | None = None
    thinking_effort: bool | None = None
    logprobs: bool | None = None
    choices: bool | None = None
    """More than one."""
    sampling: bool | None = None
    """Temperature and top-p other than 1."""
    seed: bool | None = None
    penalties: bool | None = None
    logit_bias: bool | None = None
    top_k: bool | None = None
    verbosity: bool | None = None
    stops: bool | None = None
    stops_max: Annotated[int, Meta(ge=0)] | None = None
    temperature_max: Annotated[float, Meta(ge=0)] | None = None

    @property
    def changes(self) -> dict[str, bool | int | float]:
        """What differs from the protocol, by the name of the ability."""
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__ if name not in _NOT_ABILITIES)
        return {name: value for name, value in fields if value is not None}

    @property
    def cannot(self) -> frozenset[str]:
        """Names of what it is known not to be able to do."""
        return frozenset(name for name, value in self.changes.items() if value is False)


_NOT_ABILITIES = frozenset({"like", "context_tokens"})
NOTHING = Profile()

_REASONING = Profile(sampling=False, penalties=False, logprobs=False, logit_bias=False, audio_output=False)
_TEXT_ONLY = Profile(images=False, files=False, audio_input=False, audio_output=False)

BUILT_IN: Mapping[str, Profile] = {
    ANY: NOTHING,
    "text-only": _TEXT_ONLY,
    "openai-reasoning": structs.replace(_REASONING, audio_input=False, context_tokens=200_000),
    "openai-reasoning-text": structs.replace(
        _REASONING, images=False, files=False, audio_input=False, context_tokens=200_000
    ),
    "gpt-5": structs.replace(_REASONING, audio_input=False, stops=False, context_tokens=400_000),
    "claude-adaptive": Profile(sampling=False, top_k=False, thinking_budget=False, context_tokens=1_000_000),
    "claude-budget": Profile(thinking_effort=False),
    "claude-unthinking": Profile(thinking=False),
    "deepseek-chat": structs.replace(_TEXT_ONLY, json_schema=False, choices=False, logit_bias=False, stops_max=16),
    "deepseek-reasoner": structs.replace(
        _TEXT_ONLY, json_schema=False, choices=False, logit_bias=False, logprobs=False, stops_max=16
    ),
}
"""By name. Claude from Opus 4.7 takes no temperature and decides itself how long to think; before 4.6 it must be told
for how many tokens, and before 3.7 it does not think.
"""

_PATTERNS: tuple[tuple[str, str], ...] = (
    ("o1-mini*", "openai-reasoning-text"),
    ("o3-mini*", "openai-reasoning-text"),
    ("o1*", "openai-reasoning"),
    ("o3*", "openai-reasoning"),
    ("o4-mini*", "openai-reasoning"),
    ("gpt-5-chat*", ANY),
    ("gpt-5", "gpt-5"),
    ("gpt-5-*", "gpt-5"),
    ("*claude-opus-4[.-][789]*", "claude-adaptive"),
    ("*claude-3[.-]7*", "claude-budget"),
    ("*claude-sonnet-4", "claude-budget"),
    ("*claude-opus-4", "claude-budget"),
    ("*claude-sonnet-4[.@-][05]*", "claude-budget"),
    ("*claude-opus-4[.@-][015]*", "claude-budget"),
    ("*claude-haiku-4[.@-]5*", "claude-budget"),
    ("*claude-sonnet-4[@-]2025*", "claude-budget"),
    ("*claude-opus-4[@-]2025*", "claude-budget"),
    ("*claude-v2*", "claude-unthinking"),
    ("*claude-2*", "claude-unthinking"),
    ("*claude-instant*", "claude-unthinking"),
    ("*claude-3[.-]5*", "claude-unthinking"),
    ("*claude-3-[hos]*", "claude-unthinking"),
    ("deepseek-reasoner*", "deepseek-reasoner"),
    ("deepseek-chat*", "deepseek-chat"),
    ("gpt-3.5*", "text-only"),
)
"""Globs over a provider's name of a model, in lower case and without the maker's prefix; the first that fits.

From gpt-5.1 on temperature depends on the effort asked for, which only the provider can judge.
"""


def built_in(model: str) -> Profile:
    """What is known of a model by its name at a provider; nothing, where nothing is known."""
    name = model.lower().rsplit("/", 1)[-1]
    found = next((profile for pattern, profile in _PATTERNS if fnmatch.fnmatchcase(name, pattern)), ANY)
    return BUILT_IN[found]


def resolved(model: str, own: "Profile | str | None", provider: Profile = NOTHING) -> Profile:
    """A deployment's profile: its own words, over what is known of the model, over what its provider can do at all.

    Names that are not built in mean nothing here; `unknown_names` finds them.
    """
    if isinstance(own, str):
        return over(BUILT_IN.get(own, NOTHING), provider)
    known = built_in(model) if own is None or own.like is None else BUILT_IN.get(own.like, NOTHING)
    return over(own or NOTHING, over(known, provider))


def over(upper: Profile, lower: Profile) -> Profile:
    """What `upper` says, and where it says nothing what `lower` does."""
    said = {name: value for name in upper.__struct_fields__ if (value := getattr(upper, name)) is not None}
    return structs.replace(lower, **{**said, "like": None}) if said else lower


def unknown_names(own: "Profile | str | None") -> Iterator[str]:
    """Of built-in profiles that a deployment names and that do not exist."""
    name = own if isinstance(own, str) else None if own is None else own.like
    if name is not None and name not in BUILT_IN:
        yield name
