"""What an answer used, in one shape for all providers."""

import msgspec

TOKENS_MAX = 10**9
"""A provider that reports more is wrong; its count must not overflow a limit, a price or a row."""


def _counted(tokens: int | None) -> int:
    if not tokens:  # Most of ten counts of every answer.
        return 0
    return min(max(tokens, 0), TOKENS_MAX)


class PromptDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    """Not OpenAI's own: servers that pass on to models whose cache is charged when it is written."""
    cache_creation_tokens: int | None = None
    """The same by another name."""
    audio_tokens: int | None = None
    image_tokens: int | None = None


class CompletionDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """OpenAI's usage object: prompt tokens include cached ones, completion tokens include reasoning.

    Details are parts of those two: text is what they leave.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    cache_creation_input_tokens: int | None = None
    """Some servers say beside the prompt's tokens how many of them a cache was written with."""
    search_units: int | None = None
    """What Cohere charges reranking by; no member of OpenAI's."""

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
    def cache_write_tokens(self) -> int:
        """By whichever name it comes; where it comes by several, it is one count."""
        details = self.prompt_tokens_details
        named = (details.cache_write_tokens, details.cache_creation_tokens) if details else ()
        return max(_counted(count) for count in (self.cache_creation_input_tokens, *named))

    @property
    def audio_input_tokens(self) -> int:
        details = self.prompt_tokens_details
        return _counted(details.audio_tokens) if details else 0

    @property
    def image_input_tokens(self) -> int:
        details = self.prompt_tokens_details
        return _counted(details.image_tokens) if details else 0

    @property
    def searches(self) -> int:
        return _counted(self.search_units)

    @property
    def reasoning_tokens(self) -> int:
        details = self.completion_tokens_details
        return _counted(details.reasoning_tokens) if details else 0

    @property
    def audio_output_tokens(self) -> int:
        details = self.completion_tokens_details
        return _counted(details.audio_tokens) if details else 0

    @property
    def image_output_tokens(self) -> int:
        details = self.completion_tokens_details
        return _counted(details.image_tokens) if details else 0


def usage_of(prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> Usage:
    """Usage from plain counts."""
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
        prompt_tokens_details=PromptDetails(cached_tokens) if cached_tokens else None,
    )
