"""Tokens of an identity provider, through the whole gateway and over real HTTP to a real issuer."""

import asyncio
import time
from functools import partial

import openai
import pytest

from trunkline_kit.identity import Algorithm
from trunkline_testkit.issuer import JWKS_PATH, make_key, open_fake_issuer
from trunkline_testkit.parts import free_port

PATH = "/v1/chat/completions"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
CHECKS = "trunkline_gateway_oidc_checks_total"
TTL_S = 1.0


@pytest.fixture
async def issuer():
    async with open_fake_issuer() as opened:
        opened.now_s = time.time()  # noqa: TID251 - the gateway has the machine's clock
        yield opened


@pytest.fixture
def tree(single, upstream, issuer):
    """The configuration with that issuer as `corp`."""

    def made(**oidc):
        entry = {"issuer": issuer.url, "audience": ["trunkline"], "algorithms": [one.value for one in Algorithm]}
        return {
            **single(upstream),
            "teams": {"search": {"org": "acme"}},
            "identity": {"oidc": {"corp": {**entry, **oidc}}},
        }

    return made


@pytest.fixture
async def opened(open_harness, tree):
    return await open_harness(tree())


async def ask(harness, token, **body):
    return await harness.post(PATH, {**ASK, **body}, headers={"authorization": f"Bearer {token}"})


async def refusal(reply):
    return reply.status, (await reply.json())["error"]


async def test_a_token_is_as_good_as_a_key(opened, issuer):
    token = issuer.token()
    assert (await ask(opened, token)).status == 200
    assert (await opened.post(PATH, ASK, headers={"x-api-key": token})).status == 200
    assert (await opened.post(PATH, ASK)).status == 200, "keys still work"
    async with openai.AsyncOpenAI(api_key=token, base_url=f"{opened.url}/v1", max_retries=0) as sdk:
        assert [model.id for model in (await sdk.models.list()).data] == ["fake"]
    assert opened.metric(CHECKS, result="ok") == 1
    assert opened.metric(CHECKS, result="cached") == 2
    assert issuer.fetches == 1


@pytest.mark.parametrize("algorithm", Algorithm, ids=lambda one: one.value)
async def test_every_algorithm(opened, issuer, algorithm):
    issuer.keys = [make_key(algorithm.value)]
    assert (await ask(opened, issuer.token())).status == 200
    forged = issuer.token(make_key(algorithm.value, serial=1))
    status, error = await refusal(await ask(opened, forged))
    assert (status, error["code"]) == (401, "invalid_api_key")
    assert "signature" in error["message"]


async def test_what_is_wrong_with_a_token_is_said_and_nothing_of_it(opened, issuer):
    token = issuer.token(exp=issuer.now_s - 3600)
    reply = await ask(opened, token)
    status, error = await refusal(reply)
    assert (status, error["type"], error["code"]) == (401, "authentication_error", "invalid_api_key")
    assert "expired" in error["message"]
    assert reply.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert not any(part in str(error) for part in token.split("."))
    for alg in ("HS256", "none"):
        # A signature of nothing at all is signed by nobody.
        forged = issuer.token(make_key("HS256"), header={"alg": alg})
        assert "algorithm" in (await refusal(await ask(opened, forged)))[1]["message"]


async def test_a_good_token_without_a_team_is_forbidden(opened, issuer):
    status, error = await refusal(await ask(opened, issuer.token(team="nobody")))
    assert (status, error["code"]) == (403, "permission_denied")
    assert "team" in error["message"]


async def test_scopes_and_models_are_those_of_the_settings(open_harness, tree, issuer):
    roles = {"user": ["inference"]}
    harness = await open_harness(tree(scopes=[], roles=roles, roles_claim="access.roles", models=["gpt-*"]))
    assert (await ask(harness, issuer.token())).status == 403
    token = issuer.token(access={"roles": ["x", "user"]})
    status, error = await refusal(await ask(harness, token))
    assert (status, error["code"]) == (404, "model_not_found")


async def test_each_subject_has_limits_of_its_own(open_harness, tree, issuer):
    end_user = {"limits": [{"requests": 2, "per_s": 60}]}
    harness = await open_harness(tree(end_user=end_user, limits=[{"requests": 3, "per_s": 60}]))
    ann, bob = issuer.token(), issuer.token(sub="bob")
    # Whom the request names itself does not matter.
    found = [(await ask(harness, ann, user=name)).status for name in ("ann", "bob", "carl")]
    assert found == [200, 200, 429]
    assert [(await ask(harness, bob)).status for _ in range(2)] == [200, 429], "the third of all is the last"


async def test_a_new_key_works_at_once_and_an_old_one_stops(open_harness, tree, issuer):
    harness = await open_harness(tree(jwks_ttl_s=TTL_S))
    old = issuer.token()
    assert (await ask(harness, old)).status == 200
    issuer.keys.append(make_key("RS256", "key-2", serial=1))
    # The loop fetches by itself, without a token that needs it.
    await asyncio.wait_for(issuer.wait_for_fetches(2), 10)
    assert (await ask(harness, issuer.token())).status == 200
    issuer.keys.pop(0)
    await asyncio.wait_for(issuer.wait_for_fetches(issuer.fetches + 2), 10)
    status, error = await refusal(await ask(harness, old))
    assert status == 401
    assert "publishes no key" in error["message"]


async def test_without_its_issuer_a_token_is_neither_good_nor_bad(open_harness, tree):
    url = f"http://127.0.0.1:{free_port()}"
    harness = await open_harness(tree(issuer=url))
    async with open_fake_issuer() as somebody:
        somebody.url = url
        token = somebody.token()
    reply = await ask(harness, token)
    status, error = await refusal(reply)
    assert (status, error["code"]) == (503, "unavailable")
    assert 1 <= int(reply.headers["retry-after"]) <= 10
    assert (await harness.post(PATH, ASK)).status == 200
    report = await (await harness.get("/readyz")).json()
    part = next(part for part in report["parts"] if part["name"] == "oidc corp")
    assert (part["up"], part["required"]) == (False, False)


async def test_an_issuer_that_goes_away_is_not_missed(open_harness, tree, issuer):
    harness = await open_harness(tree(jwks_ttl_s=TTL_S))
    assert (await ask(harness, issuer.token())).status == 200
    issuer.status, issuer.requests = 503, []
    async with asyncio.timeout(10), issuer.arrived:
        await issuer.arrived.wait_for(lambda: issuer.requests)
    assert (await ask(harness, issuer.token(jti="another"))).status == 200


async def test_a_flood_of_unknown_keys_costs_the_issuer_one_fetch(opened, issuer):
    strangers = [issuer.token(make_key("RS256", f"key-{number}", serial=1)) for number in range(200)]
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(ask(opened, token)) for token in strangers]
    assert {task.result().status for task in asking} == {401}
    assert (await ask(opened, issuer.token())).status == 200
    assert issuer.fetches == 1


async def test_a_slow_issuer_holds_up_its_own_tokens_only(opened, issuer):
    issuer.hold()
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(ask(opened, issuer.token(jti=str(number)))) for number in range(20)]
        async with issuer.arrived:
            await issuer.arrived.wait_for(lambda: issuer.requests)
        assert (await opened.post(PATH, ASK)).status == 200
        assert not any(task.done() for task in waiting)
        issuer.release()
    assert {task.result().status for task in waiting} == {200}
    assert issuer.fetches == 1


async def test_an_issuer_comes_and_goes_with_the_configuration(open_harness, tree, issuer, settings_of):
    without = {name: part for name, part in tree().items() if name != "identity"}
    harness = await open_harness(without)
    change = partial(_apply, harness, settings_of)
    token = issuer.token()
    assert (await ask(harness, token)).status == 401
    await change(tree())
    assert (await ask(harness, token)).status == 200
    await change({**tree(), "teams": {"ads": {}}})
    assert (await ask(harness, token)).status == 403
    await change(tree(jwks_url=issuer.url + JWKS_PATH))
    assert (await ask(harness, token)).status == 200
    await change(without)
    assert (await ask(harness, token)).status == 401


async def _apply(harness, settings_of, tree):
    await harness.gateway.apply(settings_of(tree))
