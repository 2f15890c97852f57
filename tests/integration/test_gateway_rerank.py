"""Reranking over real sockets: the whole way of a request, in Cohere's words, in front of servers of every form."""

from functools import partial

import msgspec
import pytest

from trunkline.cache.v1 import cache_service_pb2 as cache_pb
from trunkline.cache.v1.cache_service_pb2_grpc import add_CacheServiceServicer_to_server
from trunkline_kit.rpc import Net
from trunkline_testkit.servicers import Intercepted
from trunkline_testkit.upstream import Reply, error_reply

PATHS = ["/v1/rerank", "/v2/rerank"]
ASK = {"model": "fake", "query": "which is best?", "documents": ["worst", {"text": "best"}]}
ROWS = [{"index": 0, "relevance_score": 0.1}, {"index": 1, "relevance_score": 0.9}]
VLLM = {"id": "rerank-7", "model": "real", "usage": {"prompt_tokens": 10, "total_tokens": 10}, "results": ROWS}
COHERE = {"id": "8", "results": ROWS, "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 3}}}
TEI = [{"index": 0, "score": 0.1}, {"index": 1, "score": 0.9}]


def reply(body):
    return Reply(chunks=(msgspec.json.encode(body),))


def requests_of(harness, outcome, status):
    return harness.metric("trunkline_gateway_requests_total", surface="rerank", outcome=outcome, status=status)


@pytest.mark.parametrize("path", PATHS)
async def test_documents_are_ranked(harness, upstream, path):
    upstream.replies(reply(VLLM))
    found = await harness.post(path, {**ASK, "top_n": 1, "return_documents": True})
    assert found.status == 200
    assert await found.json() == {
        "id": "rerank-7",
        "model": "fake",
        "results": [{"index": 1, "relevance_score": 0.9, "document": {"text": "best"}}],
        "meta": {"api_version": {"version": "2"}, "tokens": {"input_tokens": 10}},
        "usage": {"prompt_tokens": 10, "total_tokens": 10},
    }
    assert upstream.requests[0].path == "/v1/rerank"
    assert upstream.requests[0].json() == {
        "model": "real-fake",
        "query": "which is best?",
        "documents": ["worst", "best"],
        "top_n": 1,
    }
    assert found.headers["x-trunkline-attempts"] == "1"
    assert harness.metric("trunkline_gateway_tokens_total", provider="up", **{"class": "input"}) == 10
    assert requests_of(harness, "ok", "2xx") == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({**ASK, "documents": []}, 400, "invalid_request", "documents"),
        ({**ASK, "model": "nope"}, 404, "model_not_found", "model"),
        ({"model": "fake"}, 400, "invalid_request", "query"),
    ],
    ids=["nothing", "model", "query"],
)
async def test_errors_are_in_coheres_shape(harness, body, status, code, param):
    found = await harness.post("/v2/rerank", body)
    error = await found.json()
    assert (found.status, error["code"], error["param"]) == (status, code, param)
    assert set(error) == {"message", "code", "param"}


async def test_without_a_key_the_shape_is_the_same(harness):
    found = await harness.post("/v1/rerank", ASK, headers={})
    assert (found.status, (await found.json())["code"]) == (401, "invalid_api_key")


async def test_a_broken_server_is_asked_again_and_nonsense_counts_as_broken(open_harness, upstream, single):
    harness = await open_harness(single(upstream, retries={"max_attempts": 3}))
    nonsense = {"results": [{"index": 5, "relevance_score": 1}]}
    upstream.replies(error_reply(500), reply(nonsense), reply(VLLM))
    found = await harness.post("/v1/rerank", ASK)
    assert (found.status, found.headers["x-trunkline-attempts"]) == (200, "3")
    assert ";upstream_error;" in found.headers["x-trunkline-tried"]


async def test_an_error_that_comes_with_200_is_one(harness, upstream):
    upstream.replies(reply({"error": {"message": "no such field", "type": "invalid_request_error"}}))
    found = await harness.post("/v1/rerank", ASK)
    assert (found.status, await found.json()) == (400, {"message": "no such field", "code": "upstream_refused"})


async def test_text_embeddings_inference_is_asked_in_its_form(open_harness, upstream, single):
    tree = single(upstream)
    tree["providers"]["up"]["rerank"] = "texts"
    harness = await open_harness(tree)
    upstream.replies(reply(TEI))
    found = await harness.post("/v1/rerank", {**ASK, "top_n": 1})
    assert [row["index"] for row in (await found.json())["results"]] == [1]
    assert upstream.requests[0].json() == {"query": "which is best?", "texts": ["worst", "best"]}
    refused = await harness.post("/v1/rerank", {**ASK, "max_tokens_per_doc": 5})
    assert (refused.status, (await refused.json())["param"]) == (400, "max_tokens_per_doc")


async def test_cohere_is_asked_by_its_own_api_and_charges_by_searches(open_harness, upstream):
    base = upstream.base_url.removesuffix("/v1")
    harness = await open_harness(
        {
            "providers": {"up": {"kind": "cohere", "base_url": base, "api_key": "env:UP"}},
            "models": {"fake": {"deployments": [{"provider": "up", "model": "rerank-v3.5"}]}},
            "prices": {"overrides": [{"provider": "up", "request_usd": 0.002}]},
        }
    )
    upstream.replies(reply(COHERE))
    found = await harness.post("/v1/rerank", ASK)
    assert (await found.json())["meta"] == {"api_version": {"version": "2"}, "billed_units": {"search_units": 3}}
    assert upstream.requests[0].path == "/v2/rerank"
    assert upstream.requests[0].headers["authorization"] == "Bearer up-key"
    assert found.headers["x-trunkline-cost-usd"] == "0.006"
    refused = await harness.post("/v1/rerank", {**ASK, "documents": [{"title": "a"}]})
    assert (refused.status, (await refused.json())["param"]) == (400, "documents[0]")


async def test_who_cannot_rerank_says_so(open_harness):
    provider = {"kind": "anthropic", "base_url": "http://127.0.0.1:9"}
    models = {"fake": {"deployments": [{"provider": "up", "model": "m"}]}}
    harness = await open_harness({"providers": {"up": provider}, "models": models})
    found = await harness.post("/v1/rerank", ASK)
    error = await found.json()
    assert (found.status, error["code"], error["param"]) == (400, "unsupported_parameter", "model")


@pytest.fixture
async def cached(open_harness, upstream, single, key_entry):
    """A gateway whose key has an exact cache, which is intercepted."""
    net, cache = Net(), Intercepted()
    async with net.serve("local:cache", partial(add_CacheServiceServicer_to_server, cache)):
        tree = {**single(upstream), "policies": {"p": {"cache": {"exact": {"ttl_s": 60}}}}}
        tree["keys"] = [key_entry("test", "tl-test-key", policy="p")]
        yield await open_harness(tree, net=net), cache


async def test_an_answer_is_kept_and_given_again(cached, upstream):
    harness, cache = cached
    miss = cache_pb.LookupResponse(status=cache_pb.LOOKUP_STATUS_MISS)
    cache.reply("Lookup", miss, lambda _: cache_pb.LookupResponse(status=cache_pb.LOOKUP_STATUS_HIT, answer=kept()))
    cache.reply("Store", cache_pb.StoreResponse(stored=True))

    def kept():
        [stored] = cache.requests("Store")
        return stored.answer

    upstream.replies(reply(VLLM))
    first, second = [await harness.post("/v1/rerank", ASK) for _ in range(2)]
    assert (first.headers["x-trunkline-cache"], second.headers["x-trunkline-cache"]) == ("miss", "hit")
    assert await first.json() == await second.json()
    assert len(upstream.requests) == 1
    asked, again = cache.requests("Lookup")
    assert asked.fingerprint == again.fingerprint


async def test_limits_on_tokens_count_what_was_read(open_harness, upstream, single, key_entry):
    entry = key_entry("test", "tl-test-key", limits=[{"tokens": 100, "per_s": 60}])
    harness = await open_harness({**single(upstream), "keys": [entry]})
    upstream.replies(reply({**VLLM, "usage": {"total_tokens": 95}}))
    assert (await harness.post("/v1/rerank", ASK)).status == 200
    refused = await harness.post("/v1/rerank", ASK)
    assert (refused.status, (await refused.json())["code"]) == (429, "rate_limit_exceeded")
