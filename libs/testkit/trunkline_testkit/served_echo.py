"""An EchoServicer that is served at some address, and what the contract suite needs of it."""

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Any, Self

import grpc
import pytest

from trunkline.testkit.v1.echo_service_pb2_grpc import add_EchoServiceServicer_to_server
from trunkline_kit.health import Health
from trunkline_kit.rpc import Net, NetOptions, ServeOptions
from trunkline_testkit.echo import EchoServicer

LIMIT_BYTES = 1024 * 1024
"""Longest message of a `ServedEcho`."""
TIMEOUT_S = 10.0
"""Of calls that are not about time."""


class ServedEcho:
    """Opened by `open`, closed by its `stack`."""

    def __init__(self, listen: str) -> None:
        self.listen = listen
        self.net = Net(NetOptions(max_message_bytes=LIMIT_BYTES))
        self.health = Health()
        self.stack = AsyncExitStack()
        self.servicer = EchoServicer()
        self.target = ""

    async def open(self, **options: Any) -> Self:
        """Serve with these `ServeOptions`; without grace unless told."""
        register = partial(add_EchoServiceServicer_to_server, self.servicer)
        serving = self.net.serve(
            self.listen, register, health=self.health, options=ServeOptions(**{"grace_s": 0.0, **options})
        )
        self.target = await self.stack.enter_async_context(serving)
        return self

    def channel(self) -> AbstractAsyncContextManager[grpc.aio.Channel]:
        """A channel to it; TCP by name, as in a cluster."""
        return self.net.channel(f"dns:///{self.target}" if self.target[0].isdigit() else self.target)


async def refused(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """The error that `call` ends with; fails the test if it does not."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value
