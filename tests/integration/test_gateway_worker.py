"""Our own workers behind the gateway: OpenAI's shapes, exact counts, clear refusals."""

import asyncio
import base64
import struct
from functools import partial

import openai
import pytest

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline.worker.v1.worker_service_pb2_grpc import add_WorkerServiceServicer_to_server
from trunkline_gateway.providers.worker import QUEUE_RETRY_S
from trunkline_kit.errors import ContextTooLong, Overloaded
from trunkline_kit.rpc import Net
from trunkline_testkit.servicers import Intercepted

ASK = [{"role": "user", "content": "hi"}]
CHAT_INFO = pb.GetModelInfoResponse(model="m", kind=pb.MODEL_KIND_GENERATE, revision="rev-1")
EMBED_INFO = pb.GetModelInfoResponse(model="e", kind=pb.MODEL_KIND_EMBED, embedding_dimensions=2)
USAGE = pb.Usage(prompt_tokens=5, completion_tokens=3, cached_tokens=2)
STEPS = [
    pb.GenerateResponse(text="Hel", token_ids=[1]),
    pb.GenerateResponse(text="lo", token_ids=[2]),
    pb.GenerateResponse(text="!", token_ids=[3], finish_reason=pb.FINISH_REASON_STOP, usage=USAGE),
]


def logprob(token, p):
    return pb.TokenLogprob(token=token, logprob=p, utf8=token.encode(), token_id=1)


@pytest.fixture
async def behind(open_harness):
    """A gateway with models `chat` and `embed` at one intercepted worker."""
    net, worker = Net(), Intercepted()
    async with net.serve("local:worker", partial(add_WorkerServiceServicer_to_server, worker)):
        harness = await open_harness(
            {
                "providers": {"w": {"kind": "worker", "target": "local:worker"}},
                "models": {
                    "chat": {"deployments": [{"provider": "w", "model": "m"}]},
                    "embed": {"deployments": [{"provider": "w", "model": "e"}]},
                },
            },
            net=net,
        )
        yield harness, worker


async def test_a_whole_answer(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", CHAT_INFO)
    worker.reply("Generate", STEPS)
    answer = await harness.sdk.chat.completions.create(
        model="chat", messages=ASK, max_tokens=9, temperature=0.5, seed=3, stop=["x"], user="someone"
    )
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.model == "chat"
    assert answer.system_fingerprint == "rev-1"
    assert answer.choices[0].message.content == "Hello!"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (5, 3, 8)
    assert answer.usage.prompt_tokens_details.cached_tokens == 2
    [request] = worker.requests("Generate")
    assert request.messages_json == b'[{"role":"user","content":"hi"}]'
    assert (request.max_tokens, request.sampling.temperature, request.sampling.seed) == (9, 0.5, 3)
    assert list(request.stop) == ["x"]


@pytest.mark.parametrize(
    ("path", "asked", "prefix"),
    [
        ("/v1/messages", {"messages": ASK, "max_tokens": 9}, "msg_"),
        ("/v1/responses", {"input": "hi", "store": False}, "resp_"),
    ],
)
async def test_other_dialects_have_ids_of_their_own(behind, path, asked, prefix):
    harness, worker = behind
    worker.reply("GetModelInfo", CHAT_INFO)
    worker.reply("Generate", STEPS)
    reply = await harness.post(path, {"model": "chat"} | asked)
    assert (await reply.json())["id"].startswith(prefix)


@pytest.mark.parametrize("logprobs", [None, 0])
async def test_the_best_of_several_come_back(behind, logprobs):
    harness, worker = behind
    worker.reply("GetModelInfo", pb.GetModelInfoResponse(model="m", kind=pb.MODEL_KIND_GENERATE, max_choices=4))
    shares = {0: -2.0, 1: -0.5, 2: -1.0}
    steps = [
        pb.GenerateResponse(
            index=index,
            text=f"answer {index}",
            logprobs=[logprob("a", share)],
            finish_reason=pb.FINISH_REASON_STOP,
            usage=USAGE,
        )
        for index, share in shares.items()
    ]
    worker.reply("Generate", steps)
    answer = await harness.sdk.completions.create(model="chat", prompt="hi", n=2, best_of=3, logprobs=logprobs)
    assert [(choice.index, choice.text) for choice in answer.choices] == [(0, "answer 1"), (1, "answer 2")]
    assert {choice.logprobs is None for choice in answer.choices} == {logprobs is None}
    assert answer.usage.completion_tokens == 3
    [request] = worker.requests("Generate")
    assert (request.choices, request.logprobs) == (3, True)


async def test_a_stream(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", CHAT_INFO)
    worker.reply("Generate", STEPS)
    stream = await harness.sdk.chat.completions.create(
        model="chat", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "Hello!"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]].count("stop") == 1
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 8
    assert all(chunk.model_dump(exclude_unset=True).get("usage", 0) is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_stream_without_usage_says_nothing_of_it(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", CHAT_INFO)
    worker.reply("Generate", STEPS)
    reply = await harness.post("/v1/chat/completions", {"model": "chat", "messages": ASK, "stream": True})
    body = await reply.read()
    assert b'"usage"' not in body
    assert body.endswith(b"data: [DONE]\n\n")


async def test_logprobs(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", CHAT_INFO)
    step = pb.GenerateResponse(
        text="a",
        token_ids=[1],
        logprobs=[pb.TokenLogprob(token="a", logprob=-0.5, utf8=b"a", top=[logprob("b", -1.5)])],
        finish_reason=pb.FINISH_REASON_LENGTH,
        usage=USAGE,
    )
    worker.reply("Generate", [step], [step])
    answer = await harness.sdk.chat.completions.create(model="chat", messages=ASK, logprobs=True, top_logprobs=1)
    [entry] = answer.choices[0].logprobs.content
    assert (entry.token, entry.logprob, entry.bytes) == ("a", -0.5, [97])
    assert entry.top_logprobs[0].token == "b"
    assert answer.choices[0].finish_reason == "length"
    legacy = await harness.sdk.completions.create(model="chat", prompt="x", logprobs=1)
    assert legacy.choices[0].logprobs.tokens == ["a"]
    assert legacy.choices[0].logprobs.top_logprobs == [{"b": -1.5}]
    assert legacy.choices[0].logprobs.text_offset == [0]


async def test_legacy_completions(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", CHAT_INFO)
    worker.reply("Generate", STEPS, STEPS)
    answer = await harness.sdk.completions.create(model="chat", prompt=["once"])
    assert (answer.object, answer.choices[0].text) == ("text_completion", "Hello!")
    stream = await harness.sdk.completions.create(model="chat", prompt=[1, 2, 3], stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == "Hello!"
    first, second = worker.requests("Generate")
    assert (first.text, first.max_tokens) == ("once", 16)
    assert list(second.tokens.ids) == [1, 2, 3]


async def test_embeddings(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", EMBED_INFO)
    vector = struct.pack("<2f", 0.25, -1.0)
    reply = pb.EmbedResponse(embeddings=[pb.Embedding(vector_f32=vector)] * 2, prompt_tokens=6)
    worker.reply("Embed", reply, reply, reply)
    answer = await harness.sdk.embeddings.create(model="embed", input=["a", "b"], encoding_format="float")
    assert [item.embedding for item in answer.data] == [[0.25, -1.0], [0.25, -1.0]]
    assert [item.index for item in answer.data] == [0, 1]
    assert answer.usage.total_tokens == 6
    by_default = await harness.sdk.embeddings.create(model="embed", input="a", dimensions=2)
    assert by_default.data[0].embedding == [0.25, -1.0], "the SDK asks for base64 by itself"
    raw = await harness.post("/v1/embeddings", {"model": "embed", "input": "a", "encoding_format": "base64"})
    assert base64.b64decode((await raw.json())["data"][0]["embedding"]) == vector


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"n": 2}, "n"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"temperature": 3}, "temperature"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
    ],
)
async def test_what_the_model_cannot_do_is_said(behind, extra, param):
    harness, worker = behind
    worker.reply("GetModelInfo", CHAT_INFO)
    reply = await harness.post("/v1/chat/completions", {"model": "chat", "messages": ASK, **extra})
    body = await reply.json()
    assert reply.status == 400, body
    assert body["error"]["param"] == param
    assert not worker.requests("Generate")


@pytest.mark.parametrize(
    "extra",
    [
        {"tools": [], "tool_choice": "none", "response_format": {"type": "text"}, "n": 1},
        {"metadata": {"a": "b"}, "store": True, "unheard_of": None},
        {
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}
            ]
        },
    ],
)
async def test_what_is_harmless_is_accepted(behind, extra):
    harness, worker = behind
    worker.reply("GetModelInfo", CHAT_INFO)
    worker.reply("Generate", STEPS)
    reply = await harness.post("/v1/chat/completions", {"model": "chat", "messages": ASK, **extra})
    assert reply.status == 200, await reply.text()
    if "messages" in extra:
        assert worker.requests("Generate")[0].messages_json == b'[{"role":"system","content":"hi"}]'


async def test_a_model_of_the_wrong_kind_is_said(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", EMBED_INFO, CHAT_INFO)
    with pytest.raises(openai.BadRequestError, match="/v1/embeddings"):
        await harness.sdk.chat.completions.create(model="embed", messages=ASK)
    with pytest.raises(openai.BadRequestError, match="does not make embeddings"):
        await harness.sdk.embeddings.create(model="chat", input="x")


async def test_a_full_queue_is_a_503_with_retry_after(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", CHAT_INFO)
    worker.reply("Generate", [Overloaded("queue full", retry_after_s=42.5)])
    with pytest.raises(openai.InternalServerError) as caught:
        await harness.sdk.chat.completions.create(model="chat", messages=ASK)
    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "43"
    assert caught.value.response.headers["retry-after-ms"] == "42500"


async def test_a_full_queue_without_a_time_is_asked_again_after_a_while(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", CHAT_INFO)
    worker.reply("Generate", [Overloaded("queue full")], STEPS)
    began_s = asyncio.get_running_loop().time()
    reply = await harness.post("/v1/chat/completions", {"model": "chat", "messages": ASK})
    assert (reply.status, reply.headers["x-trunkline-attempts"]) == (200, "2")
    assert asyncio.get_running_loop().time() - began_s >= QUEUE_RETRY_S


async def test_a_prompt_too_long_is_the_callers(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", CHAT_INFO)
    worker.reply("Generate", [ContextTooLong("9 tokens do not fit 8", param="messages")])
    with pytest.raises(openai.BadRequestError) as caught:
        await harness.sdk.chat.completions.create(model="chat", messages=ASK, stream=True)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")


async def test_a_worker_that_gives_up_is_never_a_success(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", CHAT_INFO)
    aborted = [STEPS[0], pb.GenerateResponse(finish_reason=pb.FINISH_REASON_ABORTED)]
    worker.reply("Generate", aborted)
    with pytest.raises(openai.APIError, match="gave this generation up"):
        async for _ in await harness.sdk.chat.completions.create(model="chat", messages=ASK, stream=True):
            pass
    worker.reply("Generate", aborted, aborted, aborted)
    with pytest.raises(openai.InternalServerError):
        await harness.sdk.chat.completions.create(model="chat", messages=ASK)


async def test_a_worker_that_is_not_there(open_harness):
    harness = await open_harness(
        {
            "providers": {"w": {"kind": "worker", "target": "local:nobody"}},
            "models": {"chat": {"deployments": [{"provider": "w", "model": "m"}]}},
            "routes": {"auto": {"otherwise": ["chat"]}},
        }
    )
    with pytest.raises(openai.InternalServerError) as caught:
        await harness.sdk.chat.completions.create(model="chat", messages=ASK)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_unavailable")
    ready = await harness.get("/readyz")
    parts = {part["name"]: part for part in (await ready.json())["parts"]}
    assert ready.status == 503
    assert not parts["model chat"]["up"]
    assert parts["model chat"]["required"]
    assert not parts["router"]["required"]


async def test_readiness_knows_a_worker_that_is_there(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", CHAT_INFO, CHAT_INFO, EMBED_INFO)
    ready = await harness.get("/readyz")
    assert ready.status == 200, await ready.text()


async def test_reranking(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", pb.GetModelInfoResponse(model="m", kind=pb.MODEL_KIND_CLASSIFY, labels=["LABEL_0"]))
    worker.reply("Rerank", pb.RerankResponse(scores=[0.25, 0.75, 0.5], prompt_tokens=12))
    asked = {"model": "chat", "query": "q", "documents": ["a", {"text": "b"}, "c"], "top_n": 2}
    answer = await harness.post("/v1/rerank", asked | {"return_documents": True})
    assert answer.status == 200
    found = await answer.json()
    assert [(one["index"], one["relevance_score"]) for one in found["results"]] == [(1, 0.75), (2, 0.5)]
    assert found["results"][0]["document"] == {"text": "b"}
    assert found["meta"]["tokens"] == {"input_tokens": 12}
    [request] = worker.requests("Rerank")
    assert (request.query, list(request.documents)) == ("q", ["a", "b", "c"])


async def test_a_model_that_does_not_rerank(behind):
    harness, worker = behind
    worker.reply("GetModelInfo", EMBED_INFO)
    answer = await harness.post("/v1/rerank", {"model": "embed", "query": "q", "documents": ["a"]})
    error = await answer.json()
    assert (answer.status, error["code"], error["param"]) == (400, "unsupported_parameter", "model")
    assert "does not rerank" in error["message"]
