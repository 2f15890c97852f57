"""Issuers come and go with the configuration."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.oidc.binding import Tenancy
from trunkline_gateway.oidc.opening import open_tokens
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ConfigError, Unauthenticated, Unavailable
from trunkline_kit.tenants import Team
from trunkline_testkit.issuer import open_fake_issuer

TENANCY = Tenancy(teams={"search": Team()})
AGE = "trunkline_gateway_oidc_keys_age_seconds"


@pytest.fixture
async def served():
    async with open_fake_issuer() as opened:
        yield opened


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
async def tokens(registry):
    async with open_tokens(ManualClock(), registry) as opened:
        yield opened


async def test_an_issuer_whose_settings_did_not_change_keeps_its_keys(tokens, served, oidc):
    settings = {"corp": oidc(issuer=served.url)}
    for _ in range(3):
        tokens.apply(settings, TENANCY)
        await tokens.principal(served.token())
    assert served.fetches == 1
    tokens.apply({"corp": oidc(issuer=served.url, leeway_s=1.0)}, TENANCY)
    await tokens.principal(served.token())
    assert served.fetches == 2


async def test_an_issuer_that_is_gone_is_forgotten(tokens, served, oidc, registry):
    tokens.apply({"corp": oidc(issuer=served.url)}, TENANCY)
    await tokens.principal(served.token())
    assert registry.get_sample_value(AGE, {"provider": "corp"}) == 0
    tokens.apply({}, TENANCY)
    with pytest.raises(Unauthenticated):
        await tokens.principal(served.token())
    assert registry.get_sample_value(AGE, {"provider": "corp"}) is None


async def test_whoever_waits_for_an_issuer_that_goes_is_told(tokens, served, oidc):
    served.hold()
    tokens.apply({"corp": oidc(issuer=served.url)}, TENANCY)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_outcome(tokens, served.token()))
        async with served.arrived:
            await served.arrived.wait_for(lambda: served.requests)
        tokens.apply({}, TENANCY)
    assert isinstance(waiting.result(), Unavailable)


async def test_also_for_one_that_never_ran(tokens, served, oidc):
    tokens.apply({"corp": oidc(issuer=served.url)}, TENANCY)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_outcome(tokens, served.token()))
        group.create_task(_drop(tokens))
    assert isinstance(waiting.result(), Unavailable)


async def test_what_ends_the_block_is_what_was_raised_in_it(served, oidc):
    async def fail():
        async with open_tokens(ManualClock(), CollectorRegistry()) as tokens:
            tokens.apply({"corp": oidc(issuer=served.url)}, TENANCY)
            raise ConfigError("mine")

    with pytest.raises(ConfigError, match="mine"):
        await fail()


async def _outcome(tokens, token):
    try:
        return await tokens.principal(token)
    except Unavailable as error:
        return error


async def _drop(tokens):
    tokens.apply({}, TENANCY)
