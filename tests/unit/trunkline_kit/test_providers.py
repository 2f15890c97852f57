"""Where accounts are, and where their secrets are."""

import msgspec
import pytest

from trunkline_kit.providers import Provider, account_problems, address_of, profile_of, references_of, speaks_responses


def provider(**fields):
    return msgspec.convert(fields, Provider)


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"kind": "worker"}, ""),
        ({"kind": "openai"}, "https://api.openai.com/v1"),
        ({"kind": "openai", "base_url": "http://vllm:8000/v1"}, "http://vllm:8000/v1"),
        ({"kind": "vertex", "project": "p"}, "https://aiplatform.googleapis.com"),
        ({"kind": "vertex", "project": "p", "location": "us-east1"}, "https://us-east1-aiplatform.googleapis.com"),
        ({"kind": "vertex", "project": "p", "location": "eu"}, "https://aiplatform.eu.rep.googleapis.com"),
        ({"kind": "vertex", "project": "p", "base_url": "http://own"}, "http://own"),
        ({"kind": "bedrock", "region": "eu-west-1"}, "https://bedrock-runtime.eu-west-1.amazonaws.com"),
        ({"kind": "bedrock", "region": "eu-west-1", "base_url": "http://own"}, "http://own"),
    ],
)
def test_every_account_is_somewhere(fields, address):
    assert address_of(provider(**fields)) == address


def test_secrets_are_where_they_are_said_to_be():
    assert references_of(provider(kind="worker")) == []
    assert references_of(provider(kind="gemini", api_key="env:K")) == ["env:K"]
    both = provider(kind="bedrock", region="r", access_key_id="env:A", secret_access_key="env:S")
    assert references_of(both) == ["env:A", "env:S"]
    secret = {"tenant": "t", "client_id": "c", "client_secret": "env:S"}
    assert references_of(provider(kind="azure", base_url="https://r.test", entra=secret)) == ["env:S"]
    parameters = {"region": "eu", "password": "env:P"}
    assert references_of(provider(kind="litellm", provider="x", parameters=parameters)) == ["env:P"]


def test_a_token_that_changes_by_itself_does_not_make_another_account():
    assert references_of(provider(kind="azure", base_url="https://r.test", token="file:/run/token")) == []


def test_what_litellm_would_fetch_is_better_asked_of_others():
    assert profile_of(provider(kind="litellm", provider="x")).cannot == {"image_urls"}
    assert profile_of(provider(kind="openai")).cannot == frozenset()


@pytest.mark.parametrize("fields", [{"project": "a/b"}, {"project": ""}, {"project": "p", "location": "x y"}])
def test_what_becomes_a_part_of_an_address_is_a_name(fields):
    with pytest.raises(msgspec.ValidationError):
        provider(kind="vertex", **fields)


@pytest.mark.parametrize(
    ("fields", "native"),
    [
        ({"kind": "openai"}, True),
        ({"kind": "openai", "base_url": "https://api.openai.com/v1"}, True),
        ({"kind": "openai", "base_url": "https://api.openai.com.evil.test/v1"}, False),
        ({"kind": "openai", "base_url": "http://vllm:8000/v1"}, False),
        ({"kind": "openai", "base_url": "http://vllm:8000/v1", "responses": "native"}, True),
        ({"kind": "openai", "responses": "translated"}, False),
        ({"kind": "azure", "base_url": "https://r.openai.azure.com"}, True),
        ({"kind": "azure", "base_url": "https://r.openai.azure.com", "api_version": "2024-10-21"}, False),
        ({"kind": "anthropic"}, False),
        ({"kind": "worker"}, False),
    ],
    ids=str,
)
def test_responses_are_native_where_they_are_known_to_be_spoken(fields, native):
    assert speaks_responses(provider(**fields)) is native


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "bedrock", "region": "r"}, "needs either"),
        ({"kind": "bedrock", "region": "r", "access_key_id": "env:A"}, "needs either"),
        ({"kind": "bedrock", "region": "r", "api_key": "env:K", "access_key_id": "env:A"}, "leave the other out"),
        ({"kind": "gemini"}, "needs api_key"),
        ({"kind": "anthropic", "base_url": "http://own/v1/"}, "without /v1"),
    ],
    ids=str,
)
def test_what_cannot_work_is_said_before_it_is_tried(fields, says):
    [problem] = account_problems(provider(**fields))
    assert says in problem


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "bedrock", "region": "r", "api_key": "env:K"},
        {"kind": "bedrock", "region": "r", "access_key_id": "env:A", "secret_access_key": "env:S"},
        {"kind": "gemini", "base_url": "http://own"},
        {"kind": "anthropic", "base_url": "http://own"},
    ],
    ids=str,
)
def test_what_can_work_is_left_alone(fields):
    assert not list(account_problems(provider(**fields)))
