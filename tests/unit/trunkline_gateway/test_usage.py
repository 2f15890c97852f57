"""What providers report, by all the names they have for it."""

import msgspec
import pytest

from trunkline_gateway.chunks import usage_in
from trunkline_gateway.prices.charges import reported
from trunkline_gateway.usage import TOKENS_MAX, Usage, usage_of
from trunkline_policy.costs import Tokens


def read(**counts):
    return usage_in(msgspec.Raw(msgspec.json.encode({"prompt_tokens": 100, "completion_tokens": 50, **counts})))


@pytest.mark.parametrize(
    "counts",
    [
        {"prompt_tokens_details": {"cache_write_tokens": 20}},
        {"prompt_tokens_details": {"cache_creation_tokens": 20}},
        {"cache_creation_input_tokens": 20},
        {"cache_creation_input_tokens": 20, "prompt_tokens_details": {"cache_creation_tokens": 20}},
    ],
)
def test_tokens_that_a_cache_was_written_with_are_one_count_by_any_name(counts):
    usage = read(**counts)
    assert usage.cache_write_tokens == 20
    assert reported(usage) == Tokens(uncached_input=80, cache_write=20, output=50)


def test_sound_and_images_are_told_apart():
    usage = read(
        prompt_tokens_details={"audio_tokens": 30, "image_tokens": 40, "cached_tokens": 10},
        completion_tokens_details={"audio_tokens": 5, "image_tokens": 6, "reasoning_tokens": 7, "text_tokens": 32},
    )
    assert (usage.audio_input_tokens, usage.image_input_tokens) == (30, 40)
    assert (usage.audio_output_tokens, usage.image_output_tokens) == (5, 6)
    assert reported(usage) == Tokens(
        uncached_input=90,
        cache_read=10,
        output=50,
        reasoning=7,
        audio_input=30,
        image_input=40,
        audio_output=5,
        image_output=6,
    )


def test_counts_are_bounded_and_what_is_missing_is_none():
    usage = Usage(prompt_tokens=10**30, completion_tokens=-1, cache_creation_input_tokens=-5)
    assert (usage.input_tokens, usage.output_tokens, usage.cache_write_tokens) == (TOKENS_MAX, 0, 0)
    assert usage.audio_input_tokens == usage.image_output_tokens == 0


def test_our_own_usage_says_no_more_than_it_knows():
    assert msgspec.json.decode(msgspec.json.encode(usage_of(3, 2, 1))) == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1},
    }
