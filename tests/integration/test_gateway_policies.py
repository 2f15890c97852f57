"""What a key's policy adds: guardrails before the model, an exact cache, and routes decided by the router."""

from functools import partial

import msgspec
import openai
import pytest

from trunkline.cache.v1 import cache_service_pb2 as cache_pb
from trunkline.cache.v1.cache_service_pb2_grpc import add_CacheServiceServicer_to_server
from trunkline.guardrails.v1 import guardrails_service_pb2 as guard_pb
from trunkline.guardrails.v1.guardrails_service_pb2_grpc import add_GuardrailsServiceServicer_to_server
from trunkline.router.v1 import router_service_pb2 as router_pb
from trunkline.router.v1.router_service_pb2_grpc import add_RouterServiceServicer_to_server
from trunkline_kit.rpc import Net
from trunkline_testkit.servicers import Intercepted
from trunkline_testkit.upstream import Reply, chat_reply, chat_stream, error_reply

ASK = [{"role": "user", "content": "my key is SECRET ok"}]
FLAG = {"guardrails": {"input": [{"check": "secrets", "on_fail": "flag"}]}}
BLOCK = {"guardrails": {"input": [{"check": "secrets", "on_fail": "block"}]}}
CACHE = {"cache": {"exact": {"ttl_s": 60}}}
MISS = cache_pb.LookupResponse(status=cache_pb.LOOKUP_STATUS_MISS)
ALLOW = guard_pb.CheckInputResponse(action=guard_pb.ACTION_ALLOW)


def finding(action):
    return guard_pb.Finding(check="secrets", kind="aws-key", action=action, path="/messages/0/content")


@pytest.fixture
async def behind(open_harness, upstream, single, key_entry):
    """Opens a gateway whose key has `policy`, with intercepted guardrails, cache and router."""
    net = Net()
    guard, cache, router = Intercepted(), Intercepted(), Intercepted()
    async with (
        net.serve("local:guardrails", partial(add_GuardrailsServiceServicer_to_server, guard)),
        net.serve("local:cache", partial(add_CacheServiceServicer_to_server, cache)),
        net.serve("local:router", partial(add_RouterServiceServicer_to_server, router)),
    ):

        async def opened(policy, **more):
            tree = {**single(upstream), "policies": {"p": policy}, **more}
            tree["keys"] = [key_entry("test", "tl-test-key", policy="p", team="search")]
            return await open_harness(tree, net=net), guard, cache, router

        yield opened


async def ask(harness, **options):
    options.setdefault("model", "fake")
    return await harness.sdk.chat.completions.with_raw_response.create(messages=ASK, **options)


async def test_a_key_without_policy_asks_nobody(harness):
    raw = await ask(harness)
    assert "x-trunkline-cache" not in raw.headers
    assert "x-trunkline-guardrails" not in raw.headers


async def test_flagged_input_is_answered_and_said(behind):
    harness, guard, _, _ = await behind(FLAG)
    guard.reply("CheckInput", guard_pb.CheckInputResponse(action=2, findings=[finding(2)]))
    raw = await ask(harness)
    assert raw.headers["x-trunkline-guardrails"] == "flag:aws-key"
    [request] = guard.requests("CheckInput")
    assert [(part.path, part.text) for part in request.parts] == [("/messages/0/content", "my key is SECRET ok")]
    assert (request.policy, request.tenant) == ("p", "search")


async def test_blocked_input_goes_nowhere(behind, upstream):
    harness, guard, cache, _ = await behind({**BLOCK, **CACHE})
    guard.reply("CheckInput", guard_pb.CheckInputResponse(action=4, findings=[finding(4)]))
    hit = cache_pb.CachedAnswer(body_json=chat_reply("cached").chunks[0])
    cache.reply("Lookup", cache_pb.LookupResponse(status=cache_pb.LOOKUP_STATUS_HIT, answer=hit))
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(harness)
    assert (caught.value.code, caught.value.param) == ("content_blocked", "messages.0.content")
    assert "SECRET" not in str(caught.value)
    assert not upstream.requests


async def test_redacted_input_reaches_the_model_redacted(behind, upstream):
    harness, guard, _, _ = await behind({"guardrails": {"input": [{"check": "secrets", "on_fail": "redact"}]}})
    cut = guard_pb.Redaction(path="/messages/0/content", start_chars=10, end_chars=16, replacement="[KEY]")
    guard.reply("CheckInput", guard_pb.CheckInputResponse(action=3, findings=[finding(3)], redactions=[cut]))
    raw = await ask(harness)
    assert raw.headers["x-trunkline-guardrails"] == "redact:aws-key"
    assert upstream.requests[0].json()["messages"][0]["content"] == "my key is [KEY] ok"


async def test_guardrails_that_are_down_close_a_strict_policy_only(behind, upstream):
    strict, _, _, _ = await behind(BLOCK)
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(strict)
    assert caught.value.status_code == 503
    assert not upstream.requests
    assert strict.metric("trunkline_gateway_checks_total", service="guardrails", result="unavailable") == 1


async def test_guardrails_that_are_down_leave_a_flagging_policy_open(behind):
    harness, _, _, _ = await behind(FLAG)
    assert (await ask(harness)).headers["x-trunkline-guardrails"] == "unavailable"


async def test_an_answer_is_stored_and_given_again(behind, upstream):
    harness, _, cache, _ = await behind(CACHE)
    cache.reply("Lookup", MISS)
    cache.reply("Store", cache_pb.StoreResponse(stored=True))
    first = await ask(harness)
    assert first.headers["x-trunkline-cache"] == "miss"
    [stored] = cache.requests("Store")
    assert (stored.scope.tenant, stored.scope.namespace, stored.ttl_s) == ("team:default/search", "p", 60)
    cache.reply("Lookup", cache_pb.LookupResponse(status=cache_pb.LOOKUP_STATUS_HIT, answer=stored.answer))
    second = await ask(harness, user="somebody else")
    assert second.headers["x-trunkline-cache"] == "hit"
    assert second.parse() == first.parse()
    assert len(upstream.requests) == 1
    prints = {request.fingerprint.sha256 for request in cache.requests("Lookup")}
    assert prints == {stored.fingerprint.sha256}


async def test_a_stream_is_stored_whole_and_replayed_as_a_stream(behind, upstream):
    harness, _, cache, _ = await behind(CACHE)
    upstream.replies(chat_stream(["one ", "two"]))
    cache.reply("Lookup", MISS)
    cache.reply("Store", cache_pb.StoreResponse(stored=True))
    stream = await harness.sdk.chat.completions.create(model="fake", messages=ASK, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "one two"
    answer = cache.requests("Store")[0].answer
    whole = msgspec.json.decode(answer.body_json)
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "one two"}
    assert whole["usage"]["completion_tokens"] == 2
    cache.reply("Lookup", cache_pb.LookupResponse(status=cache_pb.LOOKUP_STATUS_HIT, answer=answer))
    stream = await harness.sdk.chat.completions.create(
        model="fake", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "one two"
    assert chunks[-1].usage.completion_tokens == 2


@pytest.mark.parametrize("reply", [chat_reply("half", finish="length"), chat_stream(["half"], finish="length")])
async def test_a_cut_answer_is_not_stored(behind, upstream, reply):
    harness, _, cache, _ = await behind(CACHE)
    upstream.replies(reply)
    cache.reply("Lookup", MISS)
    raw = await ask(harness, stream=reply.headers[0][1].startswith("text/event-stream"))
    if reply.headers[0][1].startswith("text/event-stream"):
        async for _ in raw.parse():
            pass
    assert not cache.requests("Store")


async def test_a_broken_stream_is_not_stored(behind, upstream):
    harness, _, cache, _ = await behind(CACHE)
    upstream.replies(Reply(headers=(("content-type", "text/event-stream"),), chunks=chat_stream(["a"]).chunks[:2]))
    cache.reply("Lookup", MISS)
    with pytest.raises(openai.APIError):
        async for _ in await harness.sdk.chat.completions.create(model="fake", messages=ASK, stream=True):
            pass
    assert not cache.requests("Store")


async def test_the_answer_of_a_fallback_is_not_stored_as_the_models_own(behind, upstream, backup):
    at = {"up": upstream.base_url, "spare": backup.base_url}
    providers = {name: {"kind": "openai", "base_url": url} for name, url in at.items()}
    model = {"deployments": [{"provider": "up", "model": "real"}], "fallbacks": {"on_error": ["spare"]}}
    spare = {"deployments": [{"provider": "spare", "model": "other"}]}
    harness, _, cache, _ = await behind(CACHE, providers=providers, models={"fake": model, "spare": spare})
    upstream.replies(error_reply(500))
    cache.reply("Lookup", MISS)
    assert (await ask(harness)).headers["x-trunkline-provider"] == "spare"
    assert not cache.requests("Store")


async def test_the_caller_may_pass_the_cache_by(behind):
    harness, _, cache, _ = await behind(CACHE)
    raw = await ask(harness, extra_headers={"cache-control": "no-cache"})
    assert raw.headers["x-trunkline-cache"] == "bypass"
    assert not cache.requests("Lookup")


async def test_a_cache_that_is_down_is_a_miss(behind):
    harness, _, _, _ = await behind(CACHE)
    assert (await ask(harness)).headers["x-trunkline-cache"] == "miss"


ROUTES = {"routes": {"auto": {"otherwise": ["fake"]}}}


async def test_a_route_goes_where_the_router_says(behind, upstream):
    harness, guard, _, router = await behind(FLAG, **ROUTES)
    guard.reply("CheckInput", ALLOW)
    router.reply("Analyze", router_pb.AnalyzeResponse(decision=["fake"], reasons=["rule:0", "because"]))
    raw = await ask(harness, model="auto")
    assert raw.headers["x-trunkline-route"] == "auto;rule:0"
    assert raw.headers["x-trunkline-model"] == "fake"
    assert upstream.requests[0].json()["model"] == "real-fake"
    assert router.requests("Analyze")[0].parts[0].text == "my key is SECRET ok"
    assert {model.id async for model in harness.sdk.models.list()} == {"auto", "fake"}


async def test_a_router_that_is_down_leaves_the_otherwise(behind):
    harness, guard, _, _ = await behind(FLAG, **ROUTES)
    guard.reply("CheckInput", ALLOW)
    raw = await ask(harness, model="auto")
    assert raw.headers["x-trunkline-route"] == "auto;router-unavailable"
    assert raw.headers["x-trunkline-model"] == "fake"
