"""Who cannot do what, for which dialect of callers."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects.canonical import Dialect
from trunkline_gateway.dialects.matrix import PROVIDERS
from trunkline_gateway.dialects.needs import NATIVE
from trunkline_gateway.fleet.fitness import WORKERS_LACK, Lacks, differences, lacking, lacks_of, protocol_of
from trunkline_gateway.plan import Target
from trunkline_kit.profiles import Profile
from trunkline_kit.providers import Provider

CHAT, MESSAGES, RESPONSES = Dialect.CHAT, Dialect.MESSAGES, Dialect.RESPONSES
ABILITIES = st.frozensets(st.sampled_from(["tools", "images", "seed", "logprobs"]))


def settings(**fields):
    return msgspec.convert(fields, Provider)


OPENAI, CLAUDE = settings(kind="openai"), settings(kind="anthropic")


@pytest.mark.parametrize(
    ("fields", "protocol"),
    [
        ({"kind": "openai"}, "openai"),
        ({"kind": "azure", "base_url": "https://r.test"}, "openai"),
        ({"kind": "litellm", "provider": "watsonx"}, "openai"),
        ({"kind": "worker"}, "openai"),
        ({"kind": "anthropic"}, "anthropic"),
        ({"kind": "gemini"}, "gemini"),
        ({"kind": "vertex", "project": "p"}, "gemini"),
        ({"kind": "bedrock", "region": "r"}, "bedrock"),
        ({"kind": "cohere"}, "cohere"),
    ],
)
def test_every_kind_speaks_a_protocol_of_the_matrix(fields, protocol):
    assert protocol_of(settings(**fields)) == protocol
    assert protocol in {provider.name for provider in PROVIDERS}


def test_what_passes_through_lacks_only_what_is_said():
    for dialect, account in ((CHAT, OPENAI), (RESPONSES, OPENAI), (MESSAGES, CLAUDE)):
        assert lacking(dialect, account, None) == frozenset()
        assert lacking(dialect, account, Profile(images=False, tools=True)) == {"images"}


def test_what_is_translated_lacks_what_the_protocol_does():
    found = lacking(CHAT, CLAUDE, Profile(tools=False, logprobs=True))
    assert found >= {"choices", "seed", "tools", NATIVE}
    assert "logprobs" not in found
    assert "tool_result_media" in lacking(MESSAGES, OPENAI, None)
    assert "tool_result_media" in lacking(RESPONSES, settings(kind="openai", base_url="http://vllm/v1"), None)


def test_our_workers_read_text():
    for dialect in Dialect:
        assert lacking(dialect, settings(kind="worker"), Profile(tools=False)) == WORKERS_LACK | {"tools"}


def test_only_what_differs_is_worth_looking_for():
    targets = [Target("m", "a", "x"), Target("m", "b", "y", profile=Profile(images=False))]
    lacks = lacks_of(targets, {"a": OPENAI, "b": OPENAI})
    assert differences([lacks[CHAT]]) == {"images"}
    assert differences([lacks_of(targets[1:], {"b": OPENAI})[CHAT]]) == frozenset()
    assert differences([]) == frozenset()


@given(st.lists(ABILITIES, min_size=1, max_size=3), st.lists(ABILITIES, min_size=1, max_size=3))
def test_differences_of_several_models_are_those_of_all_their_deployments(one, two):
    def lacks(each):
        return Lacks(tuple(each), frozenset().union(*each), each[0].intersection(*each))

    assert differences([lacks(one), lacks(two)]) == differences([lacks([*one, *two])])
