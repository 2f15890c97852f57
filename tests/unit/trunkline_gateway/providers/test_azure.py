"""Azure's addresses, and tokens that change."""

import pytest

from trunkline_gateway.plan import Target
from trunkline_gateway.providers.azure import REREAD_AFTER_S, Application, AzureAccent, HeldToken, open_azure
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.surface import Surface
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ConfigError
from trunkline_kit.providers import AzureProvider, ClientCredentials
from trunkline_kit.secrets import Secret
from trunkline_policy.faults import FailureKind

TARGET = Target("m", "az", "my gpt/4o")


@pytest.mark.parametrize(
    ("version", "surface", "path"),
    [
        (None, Surface.CHAT, "/openai/v1/chat/completions"),
        (None, Surface.RESPONSES, "/openai/v1/responses"),
        (
            "2024-10-21",
            Surface.CHAT,
            "/openai/deployments/my%20gpt%2F4o/chat/completions?api-version=2024-10-21",
        ),
        ("2024-10-21", Surface.EMBEDDING, "/openai/deployments/my%20gpt%2F4o/embeddings?api-version=2024-10-21"),
        ("2025-04-01-preview", Surface.RESPONSES, "/openai/responses?api-version=2025-04-01-preview"),
    ],
)
def test_where_a_request_goes(version, surface, path):
    assert AzureAccent(version, None).path(surface, TARGET) == path


async def test_a_key_needs_no_further_header():
    assert await AzureAccent(None, None).headers() == ()


@pytest.fixture
def held(tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")
    clock = ManualClock(1000.0)
    return file, clock, HeldToken("az", f"file:{file}", {}, clock)


async def test_a_token_in_a_file_is_read_again_after_a_while(held):
    file, clock, token = held
    file.write_text("second")
    assert await AzureAccent(None, token).headers() == (("authorization", "Bearer first"),)
    clock.advance(REREAD_AFTER_S)
    assert await token.current() == "second"
    assert token.latest.reveal() == "second"


async def test_a_token_that_was_refused_is_read_again_at_once(held):
    file, _, token = held
    file.write_text("second")
    token.forget()
    assert await token.current() == "second"


async def test_a_token_that_is_gone_is_the_accounts_failure_and_mended_by_its_return(held):
    file, clock, token = held
    file.unlink()
    clock.advance(REREAD_AFTER_S)
    with pytest.raises(AttemptFailed, match="cannot be read") as failed:
        await token.current()
    assert failed.value.kind is FailureKind.ACCOUNT
    file.write_text("third")
    assert await token.current() == "third"


def test_an_application_asks_for_a_token_as_microsoft_wants_it():
    settings = ClientCredentials(tenant="t", client_id="c", client_secret="env:S", authority="https://login.test/")
    ask = Application(settings, Secret("hush")).ask(0.0)
    assert (ask.method, ask.url) == ("POST", "https://login.test/t/oauth2/v2.0/token")
    assert ask.form == {
        "grant_type": "client_credentials",
        "client_id": "c",
        "client_secret": "hush",
        "scope": "https://cognitiveservices.azure.com/.default",
    }


@pytest.mark.parametrize("fields", [{"api_key": "env:NONE"}, {"token": "env:NONE"}])
async def test_a_secret_that_is_not_there_is_said_at_the_start(fields):
    with pytest.raises(ConfigError, match="NONE"):
        async with open_azure("az", AzureProvider(base_url="http://r.test", **fields), {}, ManualClock(), 4):
            pass
