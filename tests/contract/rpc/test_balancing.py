"""Calls spread over the replicas behind a name, and follow it when its addresses change."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import pytest
from grpc.aio import AioRpcError

from trunkline.testkit.v1 import echo_service_pb2 as pb
from trunkline.testkit.v1.echo_service_pb2_grpc import (
    EchoServiceServicer,
    EchoServiceStub,
    add_EchoServiceServicer_to_server,
)
from trunkline_kit.rpc import Net, NetOptions, ServeOptions
from trunkline_testkit.dns import open_dns
from trunkline_testkit.parts import free_port

TIMEOUT_S = 5.0
QUICK = NetOptions(dns_interval_s=0.05, reconnect_max_s=0.1)


class Named(EchoServiceServicer):
    """Answers with its own name."""

    def __init__(self, name):
        self.name = name

    async def Echo(self, request, context):
        return pb.EchoResponse(text=self.name)


def serve(net, listen, name, **options):
    register = partial(add_EchoServiceServicer_to_server, Named(name))
    return net.serve(listen, register, options=ServeOptions(**{"grace_s": 0.0, **options}))


async def who_answers(stub, calls=20):
    return {(await stub.Echo(pb.EchoRequest(), timeout=TIMEOUT_S)).text for _ in range(calls)}


async def until(stub, wanted):
    """Call until exactly the `wanted` replicas answer, without an error in between counting as more than a retry."""
    async with asyncio.timeout(20):
        while True:
            try:
                if await who_answers(stub, 8) == wanted:
                    return
            except AioRpcError:
                # A replica that has just gone; the next round sees the rest.
                continue


async def test_calls_are_spread_and_follow_a_replica_that_leaves_and_returns():
    net = Net(QUICK)
    port = free_port()
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(serve(net, "127.0.0.1:0", "one"))
        leaving = AsyncExitStack()
        await leaving.enter_async_context(serve(net, f"127.0.0.1:{port}", "two"))
        channel = await stack.enter_async_context(net.channel(f"ipv4:{one},127.0.0.1:{port}"))
        stub = EchoServiceStub(channel)
        await until(stub, {"one", "two"})
        await leaving.aclose()
        await until(stub, {"one"})
        await stack.enter_async_context(serve(net, f"127.0.0.1:{port}", "two"))
        await until(stub, {"one", "two"})


async def test_a_name_is_looked_up_again_when_a_connection_ages():
    net = Net(QUICK)
    port = free_port("127.0.0.2")
    async with AsyncExitStack() as stack:
        table = await stack.enter_async_context(open_dns())
        for host in ("127.0.0.1", "127.0.0.2"):
            await stack.enter_async_context(serve(net, f"{host}:{port}", host, max_connection_age_s=0.2))
        table.addresses["router.trunkline.svc"] = ["127.0.0.1"]
        target = f"dns://127.0.0.1:{table.port}/router.trunkline.svc:{port}"
        stub = EchoServiceStub(await stack.enter_async_context(net.channel(target)))
        await until(stub, {"127.0.0.1"})
        table.addresses["router.trunkline.svc"] = ["127.0.0.1", "127.0.0.2"]
        await until(stub, {"127.0.0.1", "127.0.0.2"})
        table.addresses["router.trunkline.svc"] = ["127.0.0.2"]
        await until(stub, {"127.0.0.2"})
        assert table.queries >= 3


async def test_a_taken_port_says_so():
    net = Net()
    async with serve(net, "127.0.0.1:0", "first") as target:
        with pytest.raises(Exception, match=f"cannot listen on {target}") as caught:
            async with serve(net, target, "second"):
                pass
    assert caught.value.reason == "conflict"


async def test_several_servers_share_a_port_if_told():
    net = Net()
    async with (
        serve(net, "127.0.0.1:0", "one", share_port=True) as target,
        serve(net, target, "two", share_port=True) as again,
    ):
        assert again == target


async def test_a_local_name_is_served_once():
    net = Net()
    async with serve(net, "local:echo", "one"):
        with pytest.raises(Exception, match="already served"):
            async with serve(net, "local:echo", "two"):
                pass
