"""Where accounts are, and where their secrets are."""

import msgspec
import pytest

from trunkline_kit.providers import Provider, address_of, references_of


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


@pytest.mark.parametrize("fields", [{"project": "a/b"}, {"project": ""}, {"project": "p", "location": "x y"}])
def test_what_becomes_a_part_of_an_address_is_a_name(fields):
    with pytest.raises(msgspec.ValidationError):
        provider(kind="vertex", **fields)
