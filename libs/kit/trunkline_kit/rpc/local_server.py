"""The serving half of `local:`: the same generated servicer, the same bytes, no socket."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple, NoReturn, TypeAlias

import grpc
from grpc import StatusCode

from trunkline_kit.rpc.exchange import EOF, Deadlines, Exchange, MetadataItems

Handler: TypeAlias = Any
"""A grpc.RpcMethodHandler; the stubs know those of synchronous servers only."""
Handlers: TypeAlias = "grpc.GenericRpcHandler[Any, Any]"

_log = logging.getLogger(__name__)


class CallDetails(NamedTuple):
    """What a generic handler is asked with."""

    method: str
    invocation_metadata: MetadataItems = ()


class LocalContext(grpc.aio.ServicerContext[Any, Any]):
    """What a servicer method is given. The same contract as over a socket; compression and TLS do not exist here."""

    def __init__(self, exchange: Exchange, handler: Handler, peer: str) -> None:
        self._exchange = exchange
        self._handler = handler
        self._peer = peer
        self._metadata: grpc.aio.Metadata | None = None
        self._aborted = False
        self._code = StatusCode.OK
        self._details = ""
        self._trailing: MetadataItems = ()

    async def read(self) -> Any:
        """The next request of a client stream, `grpc.aio.EOF` after the last."""
        exchange = self._exchange
        while not exchange.requests:
            if exchange.requests.ended or exchange.code is not None:
                return EOF
            await exchange.to_server.waiter()
        payload = exchange.requests.pop()
        if exchange.requests.half_empty:
            exchange.to_client.wake()
        return _request(self._handler, payload)

    async def write(self, message: Any) -> None:
        """Send one response of a stream; waits while the client reads too slowly."""
        exchange = self._exchange
        payload = self._handler.response_serializer(message)
        exchange.check_size(payload)
        if exchange.initial is None:
            exchange.initial = ()
        while exchange.responses.full and exchange.code is None:
            await exchange.to_server.waiter()
        if exchange.code is not None or self._aborted:
            # Lets a cancellation that is on its way arrive first: that is what ended the call.
            await asyncio.sleep(0)
            raise grpc.aio.UsageError("RPC already finished.")
        exchange.responses.push(payload)
        exchange.to_client.wake()

    async def send_initial_metadata(self, initial_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        if self._exchange.initial is not None:
            raise grpc.aio.UsageError("Send initial metadata failed: already sent")
        self._exchange.initial = tuple(initial_metadata)
        self._exchange.to_client.wake()

    async def abort(
        self, code: StatusCode, details: str = "", trailing_metadata: Iterable[tuple[str, str | bytes]] = ()
    ) -> NoReturn:
        """End the call with a status other than OK."""
        if self._aborted:
            raise grpc.aio.UsageError("Abort already called!")
        self._aborted = True
        self._code, self._details = code, details
        self._trailing = tuple(trailing_metadata) or self._trailing
        raise grpc.aio.AbortError("Locally aborted.")

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        await self.abort(status.code, status.details, tuple(status.trailing_metadata or ()))

    def set_trailing_metadata(self, trailing_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        self._trailing = tuple(trailing_metadata)

    def metadata_items(self) -> MetadataItems:
        """`invocation_metadata` as it came, without building a mapping of it."""
        return self._exchange.metadata

    def invocation_metadata(self) -> grpc.aio.Metadata:
        if self._metadata is None:
            self._metadata = grpc.aio.Metadata(*self._exchange.metadata)
        return self._metadata

    def set_code(self, code: StatusCode) -> None:
        self._code = code

    def set_details(self, details: str) -> None:
        self._details = details

    def code(self) -> StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata(*self._trailing)

    def peer(self) -> str:
        return self._peer

    def time_remaining(self) -> float | None:  # type: ignore[override]  # None without a deadline, as grpc.aio does
        return self._exchange.time_remaining_s()

    def cancelled(self) -> bool:
        return self._exchange.code is StatusCode.CANCELLED

    def done(self) -> bool:
        return self._exchange.code is not None

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._exchange.on_done(partial(callback, self))

    def set_compression(self, compression: grpc.Compression) -> None:
        """Nothing to compress."""

    def disable_next_message_compression(self) -> None:
        """Nothing to compress."""

    def peer_identities(self) -> None:
        return None

    def peer_identity_key(self) -> None:
        return None

    def auth_context(self) -> dict[str, Iterable[bytes]]:
        return {}

    def finish(self) -> None:
        """Hand the servicer's status to the client."""
        self._exchange.finish(self._code, self._details, self._trailing)


class LocalServer:
    """Runs each call's handler as a task.

    The guard around the handlers keeps their tasks and ends them when the server stops; what is kept here is the
    clients' share, request iterators.
    """

    def __init__(self, name: str, max_message_bytes: int, max_concurrent_rpcs: int) -> None:
        self.max_message_bytes = max_message_bytes
        self._name = name
        self._max_concurrent_rpcs = max_concurrent_rpcs
        self._generic: list[Handlers] = []
        self._handlers: dict[str, Handler] = {}
        self._open = Deadlines(asyncio.get_running_loop())
        self._feeds: set[asyncio.Task[None]] = set()
        self._accepting = True
        # Handlers see what the server saw when it was opened, never the caller's variables, as over a socket.
        self._context = contextvars.copy_context()

    def add_generic_rpc_handlers(self, handlers: Iterable[Handlers]) -> None:
        """Called by generated code."""
        self._generic.extend(handlers)

    def start(self, method: str, exchange: Exchange, request: bytes | None) -> None:
        """Begin the call `exchange`. `request` is None where requests come as a stream."""
        handler = self._handlers.get(method) or self._find(method)
        if request is not None:
            exchange.check_size(request)
        if not self._accepting:
            exchange.finish(StatusCode.UNAVAILABLE, f"local:{self._name} is shutting down")
        elif handler is None:
            exchange.finish(StatusCode.UNIMPLEMENTED, "Method not found!")
        elif len(self._open) >= self._max_concurrent_rpcs:
            exchange.finish(StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")
        elif exchange.deadline_s is not None and exchange.deadline_s <= exchange.loop.time():
            exchange.expire()
        elif exchange.code is None:
            self._open.add(exchange)
            work = self._serve(handler, LocalContext(exchange, handler, f"local:{self._name}"), exchange, request)
            exchange.task = exchange.loop.create_task(work, context=self._context.copy())

    def feed(self, exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
        """Run a client's request iterator, in the client's own context, until it or the call ends."""
        task = exchange.loop.create_task(work)
        self._feeds.add(task)
        task.add_done_callback(self._feeds.discard)
        exchange.on_done(partial(_cancel, task))

    def refuse(self) -> None:
        """Take no new calls."""
        self._accepting = False

    async def close(self) -> None:
        """End what is left of clients' calls. Handlers have ended before, see `Guard.finish`."""
        self._open.close()
        while self._feeds:
            feeds = list(self._feeds)
            for feed in feeds:
                feed.cancel()
            await asyncio.wait(feeds)

    def _find(self, method: str) -> Handler | None:
        for generic in self._generic:
            handler = generic.service(CallDetails(method))  # type: ignore[arg-type]  # has what is asked of it
            if handler is not None:
                self._handlers[method] = handler
                return handler
        return None

    async def _serve(self, handler: Handler, context: LocalContext, exchange: Exchange, request: bytes | None) -> None:
        """Run one handler to its end and turn that into a status. Raises nothing but cancellation."""
        try:
            argument = _requests(context) if request is None else _request(handler, request)
            if handler.response_streaming:
                await _respond(handler, argument, context)
            else:
                behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary
                exchange.response = response = handler.response_serializer(await behaviour(argument, context))
                exchange.check_size(response)
        except grpc.aio.AbortError:
            pass
        except asyncio.CancelledError:
            exchange.finish(StatusCode.CANCELLED, "cancelled by the server")
            raise
        except Exception:  # noqa: BLE001 - one of the two edges
            # Servicers are guarded before they get here: a message does not decode, or the guard has a fault.
            _log.exception("local call failed outside its handler")
            context.set_code(StatusCode.INTERNAL)
            context.set_details("internal error")
        context.finish()


async def _respond(handler: Handler, argument: Any, context: LocalContext) -> None:
    behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream
    answer = behaviour(argument, context)
    if inspect.isawaitable(answer):
        await answer
        return
    async with aclosing(answer) as messages:
        async for message in messages:
            await context.write(message)


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _request(handler: Handler, payload: bytes) -> Any:
    return handler.request_deserializer(payload)


async def _requests(context: LocalContext) -> AsyncIterator[Any]:
    while (message := await context.read()) is not EOF:
        yield message
