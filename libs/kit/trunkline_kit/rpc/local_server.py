"""The serving half of `local:`: the same generated servicer, the same bytes, no socket."""

import asyncio
import contextvars
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple, NoReturn

import grpc
from grpc import StatusCode

from trunkline_kit.rpc.exchange import Exchange, MetadataItems, Signal

Handler = grpc.RpcMethodHandler[Any, Any]

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
                return grpc.aio.EOF
            await exchange.to_server.wait()
        payload = exchange.requests.pop()
        if exchange.requests.half_empty:
            exchange.to_client.wake()
        return _request(self._handler, payload)

    async def write(self, message: Any) -> None:
        """Send one response of a stream; waits while the client reads too slowly."""
        exchange = self._exchange
        payload = self._handler.response_serializer(message)
        if exchange.initial is None:
            exchange.initial = ()
        while exchange.responses.full and exchange.code is None:
            await exchange.to_server.wait()
        if exchange.code is not None or self._aborted:
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
    """Runs handlers as tasks that it owns: `stop` returns only when the last of them is gone."""

    def __init__(self, name: str, max_message_bytes: int, max_concurrent_rpcs: int) -> None:
        self.max_message_bytes = max_message_bytes
        self._name = name
        self._max_concurrent_rpcs = max_concurrent_rpcs
        self._generic: list[grpc.GenericRpcHandler[Any, Any]] = []
        self._handlers: dict[str, Handler] = {}
        self._running: dict[asyncio.Task[None], Exchange] = {}
        self._changed = Signal()
        self._accepting = True
        # Handlers see what the server saw when it was opened, never the caller's variables, as over a socket.
        self._context = contextvars.copy_context()

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler[Any, Any]]) -> None:
        """Called by generated code."""
        self._generic.extend(handlers)

    def start(self, method: str, exchange: Exchange, request: bytes | None) -> None:
        """Begin the call `exchange`. `request` is None where requests come as a stream."""
        handler = self._handlers.get(method) or self._find(method)
        if not self._accepting:
            exchange.finish(StatusCode.UNAVAILABLE, f"local:{self._name} is shutting down")
        elif handler is None:
            exchange.finish(StatusCode.UNIMPLEMENTED, "Method not found!")
        elif len(self._running) >= self._max_concurrent_rpcs:
            exchange.finish(StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")
        else:
            context = LocalContext(exchange, handler, f"local:{self._name}")
            self._spawn(exchange, self._serve(handler, context, exchange, request), self._context.copy())

    def run_beside(self, exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
        """Run the client's share of a call (its request iterator) in the client's own context until the call ends."""
        task = exchange.loop.create_task(work)
        self._running[task] = exchange
        task.add_done_callback(self._forget)
        exchange.on_done(task.cancel)

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, give running ones `grace_s` seconds, cancel the rest and wait for their end."""
        self._accepting = False
        try:
            async with asyncio.timeout(grace_s):
                await self._idle()
        except TimeoutError:
            for exchange in list(self._running.values()):
                exchange.cut(StatusCode.UNAVAILABLE, f"local:{self._name} is shutting down")
            await self._idle()

    async def _idle(self) -> None:
        while self._running:
            await self._changed.wait()

    def _find(self, method: str) -> Handler | None:
        for generic in self._generic:
            handler = generic.service(CallDetails(method))
            if handler is not None:
                self._handlers[method] = handler
                return handler
        return None

    def _spawn(self, exchange: Exchange, work: Coroutine[Any, Any, None], context: contextvars.Context) -> None:
        task = exchange.loop.create_task(work, context=context)
        exchange.task = task
        self._running[task] = exchange
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        exchange = self._running.pop(task)
        self._changed.wake()
        if exchange.task is task and exchange.code is None:
            # Cancelled before its first step, so that no code of ours ran to say so.
            exchange.finish(StatusCode.CANCELLED, "cancelled before it began")

    async def _serve(
        self, handler: Handler, context: LocalContext, exchange: Exchange, request: bytes | None
    ) -> None:
        """Run one handler to its end and turn that into a status. Raises nothing but cancellation."""
        try:
            if request is not None and len(request) > self.max_message_bytes:
                await context.abort(StatusCode.RESOURCE_EXHAUSTED, too_large(len(request), self.max_message_bytes))
            argument = _requests(context) if request is None else _request(handler, request)
            await _respond(handler, argument, context, exchange)
        except grpc.aio.AbortError:
            pass
        except asyncio.CancelledError:
            exchange.finish(StatusCode.CANCELLED, "cancelled by the server")
            raise
        except Exception:
            # Servicers are guarded before they get here: this is a message that does not decode, or a fault of the guard.
            _log.exception("local call failed outside its handler")
            context.set_code(StatusCode.INTERNAL)
            context.set_details("internal error")
        context.finish()


async def _respond(handler: Handler, argument: Any, context: LocalContext, exchange: Exchange) -> None:
    if not handler.response_streaming:
        behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary
        exchange.response = handler.response_serializer(await behaviour(argument, context))
        return
    behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream
    answer = behaviour(argument, context)
    if inspect.isawaitable(answer):
        await answer
        return
    async with aclosing(answer) as messages:
        async for message in messages:
            await context.write(message)


def _request(handler: Handler, payload: bytes) -> Any:
    return handler.request_deserializer(payload)


async def _requests(context: LocalContext) -> AsyncIterator[Any]:
    while (message := await context.read()) is not grpc.aio.EOF:
        yield message


def too_large(size_bytes: int, limit_bytes: int) -> str:
    """The gRPC library's own words, so that both transports say the same."""
    return f"Received message larger than max ({size_bytes} vs. {limit_bytes})"
