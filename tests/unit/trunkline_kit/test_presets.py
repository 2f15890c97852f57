"""Servers that are known by name: every entry is whole, and what is written in the file counts."""

from typing import get_args
from urllib.parse import urlsplit

import msgspec
import pytest

from trunkline_gateway.prices.table import load_table
from trunkline_kit.presets import PRESETS, PresetName
from trunkline_kit.providers import (
    OpenAIProvider,
    address_of,
    listed_as,
    profile_of,
    references_of,
    settled,
)

NAMES = sorted(PRESETS)


def test_all_names_and_no_others_can_be_written():
    assert set(get_args(PresetName)) == set(PRESETS)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"preset": "nobody"}, OpenAIProvider)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_somewhere_and_has_a_key_unless_it_is_ones_own(name):
    preset = PRESETS[name]
    url = urlsplit(preset.base_url)
    is_own = url.hostname == "localhost"
    assert url.scheme == ("http" if is_own else "https")
    assert not preset.base_url.endswith("/")
    assert bool(preset.key_variable) is not is_own
    assert references_of(OpenAIProvider(preset=name)) == ([] if is_own else [f"env:{preset.key_variable}"])
    if is_own:
        assert preset.bills_after_disconnect is False


@pytest.mark.parametrize("name", NAMES)
def test_each_has_prices_where_it_says_so(name):
    table = load_table()
    settings = OpenAIProvider(preset=name)
    if listed := listed_as(settings):
        found = table.provider(listed)
        assert found is not None
        assert table.provider_at(address_of(settings)) in (found, None)


def test_what_the_file_says_counts():
    own = OpenAIProvider(preset="mistral", base_url="http://proxy/v1", api_key="env:OWN", bills_after_disconnect=False)
    assert address_of(own) == "http://proxy/v1"
    assert references_of(own) == ["env:OWN"]
    assert settled(own).bills_after_disconnect is False
    assert settled(OpenAIProvider(preset="mistral")).bills_after_disconnect is True
    assert settled(settled(own)) == settled(own)


def test_without_one_nothing_is_taken_for_granted():
    plain = OpenAIProvider()
    assert settled(plain) is plain
    assert address_of(plain) == "https://api.openai.com/v1"
    assert (listed_as(plain), profile_of(plain).changes) == ("", {})
    assert profile_of(OpenAIProvider(preset="groq")).cannot >= {"logprobs", "choices"}
