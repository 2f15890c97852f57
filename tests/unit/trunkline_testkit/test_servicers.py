"""A stand-in servicer over a real channel."""

from functools import partial

import grpc
import pytest

from trunkline.testkit.v1 import echo_service_pb2 as pb
from trunkline.testkit.v1.echo_service_pb2_grpc import EchoServiceStub, add_EchoServiceServicer_to_server
from trunkline_kit.errors import RateLimited
from trunkline_kit.rpc import Net, from_rpc_error
from trunkline_testkit.servicers import Intercepted

TIMEOUT_S = 5.0


@pytest.fixture
def servicer():
    return Intercepted()


@pytest.fixture
async def stub(servicer):
    net = Net()
    register = partial(add_EchoServiceServicer_to_server, servicer)
    async with net.serve("local:fake", register) as target, net.channel(target) as channel:
        yield EchoServiceStub(channel)


async def test_queued_replies_and_recorded_requests(stub, servicer):
    servicer.reply("Echo", pb.EchoResponse(text="one"), lambda request: pb.EchoResponse(text=request.text * 2))
    assert [(await stub.Echo(pb.EchoRequest(text="x"), timeout=TIMEOUT_S)).text for _ in range(2)] == ["one", "xx"]
    assert [request.text for request in servicer.requests("Echo")] == ["x", "x"]
    servicer.check()


async def test_streams_both_ways(stub, servicer):
    servicer.reply("Repeat", [pb.RepeatResponse(index=0), pb.RepeatResponse(index=1)])
    servicer.reply("Join", pb.JoinResponse(count=2))
    messages = [message.index async for message in stub.Repeat(pb.RepeatRequest(), timeout=TIMEOUT_S)]
    assert messages == [0, 1]
    await stub.Join(iter([pb.JoinRequest(text="a"), pb.JoinRequest(text="b")]), timeout=TIMEOUT_S)
    assert [message.text for message in servicer.requests("Join")[0]] == ["a", "b"]


async def test_errors(stub, servicer):
    servicer.reply("Echo", RateLimited("slow"))
    servicer.reply("Repeat", [pb.RepeatResponse(), RateLimited("later")])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Echo(pb.EchoRequest(), timeout=TIMEOUT_S)
    assert isinstance(from_rpc_error(caught.value), RateLimited)
    call = stub.Repeat(pb.RepeatRequest(), timeout=TIMEOUT_S)
    await call.read()
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()


async def test_without_a_reply_it_is_not_implemented(stub):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Echo(pb.EchoRequest(), timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_replies_nobody_asked_for(servicer):
    servicer.reply("Echo", pb.EchoResponse())
    with pytest.raises(AssertionError, match="Echo"):
        servicer.check()
