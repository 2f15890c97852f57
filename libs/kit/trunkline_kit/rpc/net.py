"""Transport is an address: channels and servers by `dns:`, `unix:` or `local:`, with one behaviour."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from operator import methodcaller
from typing import Any

import grpc

from trunkline_kit.errors import Conflict
from trunkline_kit.health import Health
from trunkline_kit.rpc.address import LOCAL, UNIX, check_unix, is_local, parse_tcp
from trunkline_kit.rpc.client_edge import GuardedChannel, OwnedCall
from trunkline_kit.rpc.local_channel import LocalChannel
from trunkline_kit.rpc.local_server import LocalContext, LocalServer
from trunkline_kit.rpc.options import NetOptions, ServeOptions, channel_arguments, server_arguments
from trunkline_kit.rpc.server_edge import Guard, GuardedServer
from trunkline_kit.tracing import Tracing

Registrar = Callable[[Any], None]
"""`functools.partial(add_XServiceServicer_to_server, servicer)`: takes the server."""

_LINGER_S = 1.0


class Net:
    """Opens servers and channels by address. `local:` names are known inside one Net, and to those made by `traced`."""

    def __init__(self, options: NetOptions | None = None, tracing: Tracing | None = None) -> None:
        self._options = options or NetOptions()
        self._tracing = tracing or Tracing()
        self._locals: dict[str, LocalServer] = {}

    def traced(self, tracing: Tracing) -> "Net":
        """The same net as one service sees it: what it serves opens spans with its own tracer."""
        view = Net(self._options, tracing)
        view._locals = self._locals
        return view

    @asynccontextmanager
    async def serve(
        self,
        listen: str,
        *registrars: Registrar,
        health: Health | None = None,
        options: ServeOptions | None = None,
    ) -> AsyncIterator[str]:
        """Serve until the block ends; yields the target that clients on this machine dial.

        `listen` is `local:NAME`, `unix:PATH` or `HOST:PORT` (port 0: any free one). `grpc.health.v1` is served beside
        the `registrars`. At the end: NOT_SERVING, then `options.grace_s` for running calls, then they are cancelled.
        Raises Conflict for an address that is taken, ValueError for one that makes no sense.
        """
        options = options or ServeOptions()
        health = health or Health()
        open_server = self._serve_local if is_local(listen) else self._serve_socket
        async with open_server(listen, (*registrars, health.register), options) as target:
            try:
                yield target
            finally:
                health.close()

    @asynccontextmanager
    async def channel(self, target: str) -> AsyncIterator[grpc.aio.Channel]:
        """A channel for generated stubs; closes with the block, cancelling calls that still run.

        `target` is `local:NAME`, `unix:PATH`, `dns:///HOST:PORT`, `HOST:PORT` or `ipv4:IP:PORT,IP:PORT`. Nothing is
        dialled before the first call. Calls are spread over all addresses a name has; the name is looked up again when
        a connection breaks or ages.
        """
        if is_local(target):
            yield GuardedChannel(LocalChannel(partial(self._locals.get, target)))
            return
        if target.startswith(UNIX):
            check_unix(target)
        async with grpc.aio.insecure_channel(target, options=channel_arguments(self._options)) as channel:
            yield GuardedChannel(channel, own=OwnedCall)

    @asynccontextmanager
    async def _serve_local(
        self, listen: str, registrars: tuple[Registrar, ...], options: ServeOptions
    ) -> AsyncIterator[str]:
        if listen in self._locals:
            raise Conflict(f"{listen} is already served in this process; give one of the two another name")
        guard = Guard(options.max_call_s, self._tracing, LocalContext.metadata_items)
        name = listen.removeprefix(LOCAL)
        server = LocalServer(name, self._options.max_message_bytes, options.max_concurrent_rpcs)
        for register in registrars:
            register(GuardedServer(server.add_generic_rpc_handlers, guard))
        self._locals[listen] = server
        try:
            yield listen
        finally:
            server.refuse()
            await guard.finish(options.grace_s)
            await server.close()
            del self._locals[listen]

    @asynccontextmanager
    async def _serve_socket(
        self, listen: str, registrars: tuple[Registrar, ...], options: ServeOptions
    ) -> AsyncIterator[str]:
        guard = Guard(options.max_call_s, self._tracing, methodcaller("invocation_metadata"))
        server = grpc.aio.server(
            options=server_arguments(self._options, options), maximum_concurrent_rpcs=options.max_concurrent_rpcs
        )
        for register in registrars:
            register(GuardedServer(server.add_generic_rpc_handlers, guard))
        target = _bind(server, listen)
        await server.start()
        try:
            yield target
        finally:
            async with asyncio.TaskGroup() as group:
                # Refuses new calls from here on. Its own grace only catches a client that does not take its status.
                group.create_task(server.stop(options.grace_s + _LINGER_S))
                await guard.finish(options.grace_s)


def _same(listen: str, _port: int) -> str:
    return listen


def _bind(server: grpc.aio.Server, listen: str) -> str:
    """Take the address; returns what clients dial. Raises Conflict if somebody else has it."""
    dial: Callable[[int], str]
    if listen.startswith(UNIX):
        check_unix(listen)
        bind_text, dial = listen, partial(_same, listen)
    else:
        tcp = parse_tcp(listen)
        bind_text, dial = tcp.bind_text(), tcp.dial_text
    try:
        port = server.add_insecure_port(bind_text)
    except RuntimeError as error:
        raise Conflict(f"cannot listen on {listen}: {error}; is another process there?") from error
    return dial(port)
