"""How an account at Bedrock is opened and addressed. Over sockets: tests/integration/test_gateway_bedrock.py."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.plan import Target
from trunkline_gateway.providers.aws_signing import Library
from trunkline_gateway.providers.bedrock import Converse, open_bedrock
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ConfigError
from trunkline_kit.providers import BedrockProvider

LIBRARY = Library()
ARN = "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-x-v1:0"
ENVIRONMENT = {"ID": "AKID", "SECRET": "s", "TOKEN": "t", "KEY": "k"}


def target(model):
    return Target("m", "up", model)


def test_the_paths():
    wire = Converse("https://example.com", LIBRARY, None)
    assert wire.path(target("amazon.nova-pro-v1:0"), as_stream=False) == "/model/amazon.nova-pro-v1%3A0/converse"
    assert wire.path(target(ARN), as_stream=True) == (
        "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.anthropic.claude-x-v1%3A0/converse-stream"
    )


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_any_name_is_one_piece_of_the_path(model):
    path = Converse("https://example.com", LIBRARY, None).path(target(model), as_stream=False)
    _, start, name, end = path.split("/")
    assert (start, unquote(name), end) == ("model", model, "converse")


async def test_without_a_signer_the_session_has_the_key():
    assert not [*await Converse("https://example.com", LIBRARY, None).headers("/x", b"")]


def test_abilities_are_the_models():
    wire = Converse("https://example.com", LIBRARY, None)
    assert wire.abilities(target("meta.llama3-v1:0")).top_k is False
    assert wire.abilities(target(ARN)).top_k is True


async def opened(**settings):
    provider = BedrockProvider(region="eu-west-1", **settings)
    async with open_bedrock("up", provider, ENVIRONMENT, ManualClock(), 4) as found:
        return found.kind, await found.check("m")


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": "env:KEY"},
        {"access_key_id": "env:ID", "secret_access_key": "env:SECRET"},
        {"access_key_id": "env:ID", "secret_access_key": "env:SECRET", "session_token": "env:TOKEN"},
    ],
)
async def test_accounts(settings):
    assert await opened(**settings) == ("bedrock", "bedrock-runtime.eu-west-1.amazonaws.com, not probed")


@pytest.mark.parametrize("settings", [{}, {"access_key_id": "env:ID"}, {"secret_access_key": "env:SECRET"}])
async def test_half_a_key_is_none(settings):
    with pytest.raises(ConfigError, match=r"providers\.up needs either api_key"):
        await opened(**settings)


async def test_a_key_that_is_not_there():
    with pytest.raises(ConfigError, match="env:GONE"):
        await opened(api_key="env:GONE")
