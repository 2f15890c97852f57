"""What an answer used, in one shape for all providers."""

import msgspec

TOKENS_MAX = 10**9
"""A provider that reports more is wrong; its count must not overflow a limit, a price or a row."""


def _counted(tokens: int | None) -> int:
    return min(max(tokens or 0, 0), TOKENS_MAX)


class PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None


class CompletionDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """OpenAI's usage object: prompt tokens include cached ones, completion tokens include reasoning."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None

    @property
    def input_tokens(self) -> int:
        return _counted(self.prompt_tokens)

    @property
    def output_tokens(self) -> int:
        return _counted(self.completion_tokens)

    @property
    def cached_tokens(self) -> int:
        details = self.prompt_tokens_details
        return _counted(details.cached_tokens) if details else 0

    @property
    def reasoning_tokens(self) -> int:
        details = self.completion_tokens_details
        return _counted(details.reasoning_tokens) if details else 0


def usage_of(prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> Usage:
    """Usage from plain counts."""
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
        prompt_tokens_details=PromptDetails(cached_tokens) if cached_tokens else None,
    )
