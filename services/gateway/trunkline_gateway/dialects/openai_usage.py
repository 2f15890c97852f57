"""Token counts between OpenAI's classes, where cached tokens are part of the prompt's, and ours, where they are not."""

from trunkline_gateway.dialects.events import Usage
from trunkline_gateway.usage import CompletionDetails, PromptDetails
from trunkline_gateway.usage import Usage as OpenAIUsage


def usage_from(said: OpenAIUsage) -> Usage:
    """Counts that do not add up are taken as they are, but never below 0."""
    read, written = said.cached_tokens, said.cache_write_tokens
    return Usage(
        input_tokens=max(0, said.input_tokens - read - written),
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=said.output_tokens,
        reasoning_tokens=said.reasoning_tokens,
        audio_input_tokens=said.audio_input_tokens,
        audio_output_tokens=said.audio_output_tokens,
        image_input_tokens=said.image_input_tokens,
        image_output_tokens=said.image_output_tokens,
    )


def openai_usage(usage: Usage) -> OpenAIUsage:
    """The usage object of a chat completion, with what it details only where there is any."""
    prompt, output = usage.prompt_tokens, usage.output_tokens
    prompt_details = PromptDetails(
        cached_tokens=usage.cache_read_tokens or None,
        cache_write_tokens=usage.cache_write_tokens or None,
        audio_tokens=usage.audio_input_tokens or None,
        image_tokens=usage.image_input_tokens or None,
    )
    output_details = CompletionDetails(
        reasoning_tokens=usage.reasoning_tokens or None,
        audio_tokens=usage.audio_output_tokens or None,
        image_tokens=usage.image_output_tokens or None,
    )
    return OpenAIUsage(
        prompt_tokens=prompt,
        completion_tokens=output,
        total_tokens=prompt + output,
        prompt_tokens_details=None if prompt_details == PromptDetails() else prompt_details,
        completion_tokens_details=None if output_details == CompletionDetails() else output_details,
    )
