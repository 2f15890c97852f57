from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects.events import Usage
from trunkline_gateway.dialects.openai_usage import openai_usage, usage_from
from trunkline_gateway.usage import PromptDetails
from trunkline_gateway.usage import Usage as OpenAIUsage

counts = st.integers(0, 10**6)
usages = st.builds(
    Usage,
    input_tokens=counts,
    cache_read_tokens=counts,
    cache_write_tokens=counts,
    output_tokens=counts,
    reasoning_tokens=counts,
    audio_input_tokens=counts,
    audio_output_tokens=counts,
    image_input_tokens=counts,
    image_output_tokens=counts,
)


@given(usage=usages)
def test_there_and_back(usage):
    said = openai_usage(usage)
    assert usage_from(said) == usage
    assert said.total_tokens == usage.prompt_tokens + usage.output_tokens
    assert said.input_tokens == usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens


def test_counts_that_do_not_add_up():
    said = OpenAIUsage(prompt_tokens=5, prompt_tokens_details=PromptDetails(cached_tokens=9))
    assert usage_from(said) == Usage(cache_read_tokens=9)


def test_details_only_where_there_are_any():
    assert openai_usage(Usage(input_tokens=1)).prompt_tokens_details is None
