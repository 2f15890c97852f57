"""The whole worker behind its contract, with the fake model, over the in-process transport."""

import asyncio
import re
from pathlib import Path

import grpc
import msgspec
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline.worker.v1.worker_service_pb2_grpc import WorkerServiceStub
from trunkline_kit.errors import ModelError
from trunkline_worker.app import open_worker
from trunkline_worker.config import WorkerConfig
from trunkline_worker.runtimes.onnx import SlotConfig
from trunkline_worker.service import is_due, load_interval_s

CONFIG = WorkerConfig(
    listen="local:worker",
    home=Path("/nowhere"),
    model="fake:",
    slots=SlotConfig(slots=2, slot_tokens=100_000),
    drain_grace_s=0,
)


@pytest.fixture
async def stub(kit):
    async with open_worker(CONFIG, kit) as part, kit.net.channel(part.address) as channel:
        yield WorkerServiceStub(channel)


def chat(text: str = "hello", name: str = "r1", **fields) -> pb.GenerateRequest:
    messages = msgspec.json.encode([{"role": "user", "content": text}])
    fields = {"sampling": pb.SamplingOptions(temperature=0)} | fields
    return pb.GenerateRequest(request_id=name, messages_json=messages, **fields)


async def collect(stub, request):
    return [message async for message in stub.Generate(request, timeout=30)]


async def test_a_chat(stub):
    messages = await collect(stub, chat("hi é", logprobs=True, top_logprobs=1))
    assert "".join(message.text for message in messages) == "hi é"
    last = messages[-1]
    assert last.finish_reason == pb.FINISH_REASON_STOP
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (6, 6)
    assert last.timing.decode_ms >= 0
    assert [len(message.logprobs) for message in messages] == [1] * 6
    first = messages[0].logprobs[0]
    assert (first.token, first.utf8, first.top[0].token_id) == ("h", b"h", first.token_id)
    assert first.logprob <= 0


async def test_text_tokens_and_echo(stub):
    text = pb.GenerateRequest(
        request_id="a", text="abc", echo=True, max_tokens=2, sampling=pb.SamplingOptions(temperature=0)
    )
    messages = await collect(stub, text)
    assert "".join(message.text for message in messages) == "abccc"
    assert messages[-1].finish_reason == pb.FINISH_REASON_LENGTH
    tokens = pb.GenerateRequest(request_id="a", tokens=pb.TokenIds(ids=[97]), max_tokens=1)
    tokens.sampling.temperature = 0
    assert (await collect(stub, tokens))[-1].text == "a"


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (pb.GenerateRequest(request_id="a"), "INVALID_ARGUMENT", "invalid_request"),
        (chat(name=""), "INVALID_ARGUMENT", "invalid_request"),
        (chat("x" * 100_000), "INVALID_ARGUMENT", "context_length_exceeded"),
        (chat("x" * 100_001), "INVALID_ARGUMENT", "context_length_exceeded"),
        (chat(tools_json=b'[{"type":"function"}]'), "INVALID_ARGUMENT", "invalid_request"),
        (chat(tools_json=b'[{"type":"web_search"}]'), "INVALID_ARGUMENT", "unsupported_parameter"),
        (chat(response_format_json=b'{"type":"grammar"}'), "INVALID_ARGUMENT", "unsupported_parameter"),
        (chat(response_format_json=b'{"type":"json_schema"}'), "INVALID_ARGUMENT", "invalid_request"),
        (chat(regex="a("), "INVALID_ARGUMENT", "invalid_request"),
        (chat(regex="a", options=["b"]), "INVALID_ARGUMENT", "unsupported_parameter"),
        (chat(choices=17), "INVALID_ARGUMENT", "invalid_request"),
        (chat(sampling=pb.SamplingOptions(temperature=3)), "INVALID_ARGUMENT", "invalid_request"),
        (chat(top_logprobs=30, logprobs=True), "INVALID_ARGUMENT", "invalid_request"),
    ],
)
async def test_bad_requests_get_their_status_and_reason(stub, request_, code, reason):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await collect(stub, request_)
    assert refused.value.code().name == code
    assert dict(refused.value.trailing_metadata())["trunkline-reason"] == reason


async def test_plain_formats_and_no_tools_are_fine(stub):
    request = chat(tools_json=b"[]", tool_choice_json=b'"none"', response_format_json=b'{"type": "text"}')
    assert (await collect(stub, request))[-1].finish_reason == pb.FINISH_REASON_STOP


async def test_several_answers_to_one_prompt(stub):
    messages = await collect(stub, chat("hi", choices=3))
    texts = {index: "".join(one.text for one in messages if one.index == index) for index in range(3)}
    assert texts == dict.fromkeys(range(3), "hi")
    assert [one.finish_reason for one in messages if one.finish_reason] == [pb.FINISH_REASON_STOP] * 3
    assert (messages[-1].usage.prompt_tokens, messages[-1].usage.completion_tokens) == (3, 9)
    echoed = await collect(stub, pb.GenerateRequest(request_id="e", text="ab", echo=True, choices=2, max_tokens=1))
    assert all(one.text.startswith("ab") for one in echoed)


async def test_an_answer_goes_on_that_another_worker_began(stub):
    whole = await collect(stub, chat("hello there"))
    assert [message.revision for message in whole[:2]] == [whole[0].revision, ""]
    ids = [token_id for message in whole[:5] for token_id in message.token_ids]
    rest = await collect(stub, chat("hello there", begun=pb.Begun(token_ids=ids, revision=whole[0].revision)))
    assert "".join(message.text for message in rest) == " there"
    assert rest[-1].usage == whole[-1].usage
    assert rest[0].revision == whole[0].revision


async def test_another_models_answer_does_not_go_on_here(stub):
    with pytest.raises(grpc.aio.AioRpcError, match="begun by another model") as refused:
        await collect(stub, chat(begun=pb.Begun(token_ids=[104], revision="another")))
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS


def calls_of(messages) -> tuple[str, str, str]:
    """Text, name and arguments of an answer."""
    calls = [call for message in messages for call in message.tool_calls]
    assert [bool(call.id) for call in calls] == [place == 0 for place in range(len(calls))]
    names, arguments = ("".join(getattr(call, field) for call in calls) for field in ("name", "arguments"))
    return "".join(message.text for message in messages), names, arguments


TOOLS = msgspec.json.encode(
    [{"type": "function", "function": {"name": name, "parameters": {"enum": [{"n": 4}]}}} for name in ("f", "g")]
)


async def test_tool_calls(stub):
    messages = await collect(stub, chat(tools_json=TOOLS, tool_choice_json=b'"required"'))
    text, name, arguments = calls_of(messages)
    assert (text, name in {"f", "g"}, msgspec.json.decode(arguments)) == ("", True, {"n": 4})
    assert messages[-1].finish_reason == pb.FINISH_REASON_TOOL_CALLS
    named = b'{"type":"function","function":{"name":"g"}}'
    assert calls_of(await collect(stub, chat(tools_json=TOOLS, tool_choice_json=named)))[1] == "g"
    # The fake model says back the last message, so left free it answers with text.
    messages = await collect(stub, chat("hello", tools_json=TOOLS))
    assert (calls_of(messages), messages[-1].finish_reason) == (("hello", "", ""), pb.FINISH_REASON_STOP)
    call = '{"name": "f", "arguments": {"n": 4}}'
    assert calls_of(await collect(stub, chat(call, tools_json=TOOLS))) == ("", "f", '{"n": 4}')
    cut = await collect(stub, chat(call, tools_json=TOOLS, max_tokens=len(call) - 1))
    assert (calls_of(cut)[2], cut[-1].finish_reason) == ('{"n": 4}', pb.FINISH_REASON_LENGTH)


@pytest.mark.parametrize("temperature", [0.0, 2.0])
async def test_answers_are_held_to_their_form(stub, temperature):
    sampling = pb.SamplingOptions(temperature=temperature)
    text = calls_of(await collect(stub, chat("x", regex="[0-9]{3}-[a-c]", sampling=sampling)))[0]
    assert re.fullmatch("[0-9]{3}-[a-c]", text)
    assert calls_of(await collect(stub, chat("x", options=["yes", "no"], sampling=sampling)))[0] in {"yes", "no"}


async def test_cancelling_frees_the_slot(stub):
    call = stub.Generate(chat(ignore_eos=True), timeout=30)
    await call.read()
    call.cancel()
    loads = stub.GetLoad(pb.GetLoadRequest(min_interval_ms=10), timeout=30)
    async for load in loads:
        assert load.max_running == 2
        if load.running == 0:
            break
    loads.cancel()


async def test_load_is_told_while_it_changes(stub):
    loads = stub.GetLoad(pb.GetLoadRequest(min_interval_ms=10), timeout=30)
    assert (await loads.read()).running == 0
    call = stub.Generate(chat(ignore_eos=True), timeout=30)
    await call.read()
    while (load := await loads.read()).running == 0:
        pass
    assert load.kv_usage > 0
    call.cancel()
    while (await loads.read()).running:
        pass
    loads.cancel()


async def test_an_idle_worker_is_heard_of_when_that_is_asked_for(stub):
    loads = stub.GetLoad(pb.GetLoadRequest(min_interval_ms=10, heartbeat_ms=20), timeout=30)
    said = [await loads.read() for _ in range(2)]
    assert [one.running for one in said] == [0, 0]
    assert said[0].prefix_cache_tokens == 16 * 64
    loads.cancel()


@pytest.mark.parametrize(("silent_s", "due"), [(0.0, False), (0.999, False), (1.0, True)])
def test_a_heartbeat_is_due_after_its_time(silent_s, due):
    assert is_due(pb.GetLoadRequest(heartbeat_ms=1000), silent_s) is due
    assert not is_due(pb.GetLoadRequest(), silent_s)


async def test_abort(stub):
    call = stub.Generate(chat(name="long", ignore_eos=True), timeout=30)
    await call.read()
    assert (await stub.Abort(pb.AbortRequest(request_id="long"), timeout=5)).found
    assert [message async for message in call][-1].finish_reason == pb.FINISH_REASON_ABORTED
    assert not (await stub.Abort(pb.AbortRequest(request_id="long"), timeout=5)).found


async def test_what_this_model_cannot_do(stub):
    with pytest.raises(grpc.aio.AioRpcError, match="cannot embed"):
        await stub.Embed(pb.EmbedRequest(texts=["a"]), timeout=5)
    with pytest.raises(grpc.aio.AioRpcError, match="cannot classify"):
        await stub.Classify(pb.ClassifyRequest(texts=["a"]), timeout=5)
    with pytest.raises(grpc.aio.AioRpcError, match="cannot rerank"):
        await stub.Rerank(pb.RerankRequest(query="a", documents=["b"]), timeout=5)


async def test_model_info(stub):
    info = await stub.GetModelInfo(pb.GetModelInfoRequest(), timeout=5)
    assert (info.model, info.kind, info.context_tokens) == ("fake", pb.MODEL_KIND_GENERATE, 100_000)
    assert (info.supports_tools, info.supports_response_format, info.max_choices) == (True, True, 16)


async def test_drain_turns_health_off(kit):
    async with open_worker(CONFIG, kit) as part, kit.net.channel(part.address) as channel:
        stub, health = WorkerServiceStub(channel), health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await stub.Drain(pb.DrainRequest(grace_ms=10), timeout=5)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        with pytest.raises(grpc.aio.AioRpcError, match="draining"):
            await collect(stub, chat())


async def test_stopping_lets_a_generation_end_and_ends_load_streams(kit):
    patient = msgspec.structs.replace(CONFIG, drain_grace_s=60.0)
    text = "a longer text " * 20
    async with kit.net.channel(CONFIG.listen) as channel, asyncio.TaskGroup() as group:
        stub = WorkerServiceStub(channel)
        async with open_worker(patient, kit):
            loads = stub.GetLoad(pb.GetLoadRequest(min_interval_ms=10), timeout=30)
            call = stub.Generate(chat(text), timeout=30)
            first, _ = await call.read(), await loads.read()
            answer, seen = group.create_task(rest(call)), group.create_task(rest(loads))
    assert first.text + "".join(message.text for message in answer.result()) == text
    assert seen.result()[-1].draining


async def rest(call):
    return [message async for message in call]


async def test_metrics(kit):
    async with open_worker(CONFIG, kit) as part, kit.net.channel(part.address) as channel:
        await collect(WorkerServiceStub(channel), chat())
        labels = {"model": "fake", "finish": "stop"}
        assert kit.metrics.get_sample_value("trunkline_worker_requests_total", labels) == 1
        assert kit.metrics.get_sample_value("trunkline_worker_slots", {"model": "fake"}) == 2
        tokens = {"model": "fake", "direction": "completion"}
        assert kit.metrics.get_sample_value("trunkline_worker_tokens_total", tokens) == 6


async def test_a_request_that_fails_is_counted(kit):
    async with open_worker(CONFIG, kit) as part, kit.net.channel(part.address) as channel:
        stub = WorkerServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError):
            await collect(stub, chat(sampling=pb.SamplingOptions(temperature=3)))
        labels = {"model": "fake", "finish": "refused"}
        assert kit.metrics.get_sample_value("trunkline_worker_requests_total", labels) == 1


async def test_a_model_that_is_not_prepared_refuses_to_start(kit, tmp_path):
    with pytest.raises(ModelError, match="trunkline models prepare smollm2-135m-instruct"):
        async with open_worker(WorkerConfig(listen="local:worker", home=tmp_path), kit):
            pass


def test_load_messages_are_never_closer_than_ten_milliseconds():
    assert load_interval_s(pb.GetLoadRequest()) == 0.1
    assert load_interval_s(pb.GetLoadRequest(min_interval_ms=1)) == 0.01
    assert load_interval_s(pb.GetLoadRequest(min_interval_ms=2000)) == 2.0
