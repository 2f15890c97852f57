"""gateway.v1 over gRPC: the same pipeline, the same keys, errors as statuses."""

import grpc
import msgspec
import pytest

from trunkline.gateway.v1 import gateway_service_pb2 as pb
from trunkline.gateway.v1.gateway_service_pb2_grpc import GatewayAdminServiceStub, GatewayServiceStub
from trunkline_kit.errors import ModelNotFound, Unauthenticated
from trunkline_kit.rpc import from_rpc_error
from trunkline_testkit.upstream import Reply, chat_stream

KEY = (("authorization", "Bearer tl-test-key"),)
SSE = (("content-type", "text/event-stream"),)


@pytest.fixture
async def channel(harness):
    async with harness.net.channel(harness.gateway.grpc_address) as opened:
        yield opened


def asked(**extra):
    ask = {"model": "fake", "messages": [{"role": "user", "content": "one two"}], **extra}
    return pb.CompleteRequest(body_json=msgspec.json.encode(ask), request_id="r1")


async def test_a_whole_answer_is_one_message(channel):
    stub = GatewayServiceStub(channel)
    [message] = [message async for message in stub.Complete(asked(), timeout=5, metadata=KEY)]
    assert msgspec.json.decode(message.body_json)["choices"][0]["message"]["content"] == "one two"
    assert message.headers["x-trunkline-provider"] == "up"


async def test_a_stream_is_a_message_per_chunk(channel):
    stub = GatewayServiceStub(channel)
    messages = [message async for message in stub.Complete(asked(stream=True), timeout=5, metadata=KEY)]
    chunks = [msgspec.json.decode(message.body_json) for message in messages]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "one two"
    assert messages[0].headers["x-trunkline-model"] == "fake"
    assert not messages[1].headers


async def test_a_broken_stream_is_a_status(channel, upstream):
    upstream.replies(Reply(headers=SSE, chunks=chat_stream(["half"]).chunks[:2], ending="cut"))
    stub = GatewayServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stub.Complete(asked(stream=True), timeout=5, metadata=KEY):
            pass
    assert caught.value.code() is grpc.StatusCode.ABORTED


async def test_errors_are_our_own(channel):
    stub = GatewayServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListModels(pb.ListModelsRequest(), timeout=5)
    assert isinstance(from_rpc_error(caught.value), Unauthenticated)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stub.Complete(asked(model="nope"), timeout=5, metadata=KEY):
            pass
    error = from_rpc_error(caught.value)
    assert isinstance(error, ModelNotFound)
    assert error.param == "model"


async def test_models_and_embeddings(channel, upstream):
    stub = GatewayServiceStub(channel)
    listed = await stub.ListModels(pb.ListModelsRequest(), timeout=5, metadata=KEY)
    assert [model.id for model in listed.models] == ["fake"]
    vectors = b'[{"object":"embedding","index":0,"embedding":[0.5]}]'
    body = b'{"object":"list","data":%b,"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}' % vectors
    upstream.replies(Reply(chunks=(body,)))
    request = pb.EmbedRequest(body_json=b'{"model":"fake","input":"x"}')
    reply = await stub.Embed(request, timeout=5, metadata=KEY)
    assert reply.body_json == body


async def test_explaining_a_route_sends_nothing(channel, upstream):
    stub = GatewayAdminServiceStub(channel)
    request = pb.ExplainRouteRequest(body_json=asked().body_json)
    reply = await stub.ExplainRoute(request, timeout=5, metadata=KEY)
    assert [(item.provider, item.provider_model) for item in reply.attempts] == [("up", "real-fake")]
    assert not upstream.requests
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ReloadConfig(pb.ReloadConfigRequest(), timeout=5, metadata=KEY)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
