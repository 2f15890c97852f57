"""What models can do, by name and in a deployment's own words."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects.abilities import Abilities, narrowed
from trunkline_kit.profiles import BUILT_IN, NOTHING, Profile, built_in, over, resolved, unknown_names

FIELDS = {field.name: field.type for field in msgspec.structs.fields(Abilities)}
PROFILES = st.builds(
    Profile,
    tools=st.none() | st.booleans(),
    images=st.none() | st.booleans(),
    sampling=st.none() | st.booleans(),
    context_tokens=st.none() | st.integers(1, 10),
    stops_max=st.none() | st.integers(0, 10),
)


def test_what_a_profile_can_say_is_what_a_protocol_can_do():
    said = {field.name for field in msgspec.structs.fields(Profile)} - {"like", "context_tokens"}
    assert said <= FIELDS.keys()


@pytest.mark.parametrize(
    ("model", "profile"),
    [
        ("o3-mini", "openai-reasoning-text"),
        ("o3-2025-04-16", "openai-reasoning"),
        ("openai/o4-mini", "openai-reasoning"),
        ("gpt-5", "gpt-5"),
        ("GPT-5-mini", "gpt-5"),
        ("gpt-5-chat-latest", "any"),
        ("gpt-5.1", "any"),
        ("gpt-4o", "any"),
        ("claude-opus-4-7", "claude-adaptive"),
        ("anthropic.claude-opus-4-8-20260601-v1:0", "claude-adaptive"),
        ("claude-opus-4-1-20250805", "claude-budget"),
        ("claude-opus-4-0", "claude-budget"),
        ("claude-opus-4@20250514", "claude-budget"),
        ("claude-opus-4-5-20251101", "claude-budget"),
        ("claude-sonnet-4-5", "claude-budget"),
        ("claude-sonnet-4-5-20250929", "claude-budget"),
        ("claude-sonnet-4-5@20250929", "claude-budget"),
        ("claude-sonnet-4-20250514", "claude-budget"),
        ("anthropic/claude-sonnet-4", "claude-budget"),
        ("anthropic/claude-sonnet-4.5", "claude-budget"),
        ("claude-3-7-sonnet-latest", "claude-budget"),
        ("claude-haiku-4-5-20251001", "claude-budget"),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-budget"),
        ("claude-3-5-haiku-latest", "claude-unthinking"),
        ("claude-3-opus-20240229", "claude-unthinking"),
        ("claude-opus-4-6", "any"),
        ("claude-sonnet-4-6", "any"),
        ("deepseek-reasoner", "deepseek-reasoner"),
        ("something-of-ones-own", "any"),
    ],
)
def test_a_name_tells(model, profile):
    assert built_in(model) == BUILT_IN[profile]


def test_own_words_go_over_what_is_known_and_that_over_the_provider():
    provider = Profile(logprobs=False, images=True, choices=False)
    found = resolved("o3-mini", Profile(sampling=True, context_tokens=9), provider)
    assert (found.sampling, found.context_tokens) == (True, 9)
    assert (found.images, found.logprobs, found.choices) == (False, False, False)
    assert resolved("o3-mini", "any", provider) == provider
    assert resolved("mine", Profile(like="text-only", tools=False), NOTHING).cannot >= {"images", "tools"}
    assert resolved("mine", None) == NOTHING


def test_names_that_are_not_built_in_are_found():
    assert list(unknown_names("nobody")) == ["nobody"]
    assert list(unknown_names(Profile(like="nobody"))) == ["nobody"]
    assert list(unknown_names("text-only")) == list(unknown_names(None)) == list(unknown_names(Profile())) == []


@given(PROFILES, PROFILES, PROFILES)
def test_over_is_associative_and_has_a_neutral(one, two, three):
    assert over(one, over(two, three)) == over(over(one, two), three)
    assert over(one, NOTHING) == over(NOTHING, one) == one


@given(PROFILES)
def test_a_protocol_is_narrowed_to_what_was_said_and_no_further(profile):
    before = Abilities()
    after = narrowed(before, profile)
    changed = {name: getattr(after, name) for name in FIELDS if getattr(after, name) != getattr(before, name)}
    assert changed.items() <= profile.changes.items()
    assert {name for name, value in profile.changes.items() if value is False} == profile.cannot
    assert narrowed(before, None) is before
