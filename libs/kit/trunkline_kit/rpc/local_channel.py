"""The calling half of `local:`: what generated stubs expect of a channel, without a socket."""

import asyncio
from collections.abc import AsyncIterable, Callable, Generator, Iterable
from functools import partial
from typing import Any, Self

import grpc
from grpc import StatusCode

from trunkline_kit.rpc.exchange import EOF, Exchange, MetadataItems
from trunkline_kit.rpc.local_server import LocalServer

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]
FindServer = Callable[[], LocalServer | None]
RequestStream = AsyncIterable[Any] | Iterable[Any]


class LocalCall:
    """A call under way. Has the methods of all four gRPC call classes; those of another shape make no sense on it.

    Dropping the last reference to a running call cancels it, as does cancelling a task that waits for it.
    """

    def __init__(self, exchange: Exchange, encode: Encode, decode: Decode) -> None:
        self._exchange = exchange
        self._encode = encode
        self._decode = decode

    def __del__(self) -> None:
        # A stream that was left by `break` must not leave its handler running.
        if self._exchange.code is None and not self._exchange.loop.is_closed():
            self.cancel()

    def __await__(self) -> Generator[Any, None, Any]:
        exchange = self._exchange
        try:
            while exchange.code is None:
                yield from exchange.to_client.waiter()
        except asyncio.CancelledError:
            self.cancel()
            raise
        self._raise_for_status()
        return EOF if exchange.response is None else self._decode(exchange.response)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._exchange.responses:
            return self._pop()
        message = await self.read()
        if message is EOF:
            raise StopAsyncIteration
        return message

    async def read(self) -> Any:
        """The next message of a response stream, `grpc.aio.EOF` after the last. Raises AioRpcError."""
        exchange = self._exchange
        while not exchange.responses:
            if exchange.code is not None:
                self._raise_for_status()
                return EOF
            await self._changed()
        return self._pop()

    async def write(self, request: Any) -> None:
        """Send one message of a request stream; waits while the handler reads too slowly."""
        exchange = self._exchange
        payload = self._encode(request)
        exchange.check_size(payload)
        while exchange.requests.full and exchange.code is None:
            await self._changed()
        if exchange.code is not None:
            self._raise_for_status()
            raise asyncio.InvalidStateError("RPC already finished.")
        if exchange.requests.ended:
            raise asyncio.InvalidStateError("RPC is half closed after calling done_writing().")
        exchange.requests.push(payload)
        exchange.to_server.wake()

    async def done_writing(self) -> None:
        """Say that no further request follows."""
        self._exchange.requests.ended = True
        self._exchange.to_server.wake()

    def cancel(self) -> bool:
        """End the call; its handler is cancelled. False if it was over."""
        if self._exchange.code is not None:
            return False
        self._exchange.locally_cancelled = True
        self._exchange.cut(StatusCode.CANCELLED, "Locally cancelled by application!")
        return True

    def cancelled(self) -> bool:
        return self._exchange.code is StatusCode.CANCELLED

    def done(self) -> bool:
        return self._exchange.code is not None

    def time_remaining(self) -> float | None:
        return self._exchange.time_remaining_s()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._exchange.on_done(partial(callback, self))

    async def wait_for_connection(self) -> None:
        """Nothing to connect."""

    async def initial_metadata(self) -> grpc.aio.Metadata:
        while self._exchange.initial is None:
            await self._changed()
        return grpc.aio.Metadata(*self._exchange.initial)

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        await self._ended()
        return grpc.aio.Metadata(*self._exchange.trailing)

    async def code(self) -> StatusCode:
        return await self._ended()

    async def details(self) -> str:
        await self._ended()
        return self._exchange.details

    async def debug_error_string(self) -> str:
        await self._ended()
        return ""

    async def feed(self, requests: RequestStream) -> None:
        """Send a request iterator to its end. One that raises cancels the call, as over a socket."""
        try:
            if isinstance(requests, AsyncIterable):
                async for request in requests:
                    await self.write(request)
            else:
                for request in requests:
                    await self.write(request)
            await self.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The call is over; whoever waits for it gets its status.
            return
        finally:
            if not self._exchange.requests.ended:
                self.cancel()

    def _pop(self) -> Any:
        responses = self._exchange.responses
        payload = responses.pop()
        if responses.half_empty:
            self._exchange.to_server.wake()
        return self._decode(payload)

    async def _changed(self) -> None:
        try:
            await self._exchange.to_client.waiter()
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def _ended(self) -> StatusCode:
        while (code := self._exchange.code) is None:
            await self._exchange.to_client.waiter()
        return code

    def _raise_for_status(self) -> None:
        exchange = self._exchange
        if exchange.locally_cancelled:
            raise asyncio.CancelledError
        if exchange.code is not None and exchange.code is not StatusCode.OK:
            raise status_error(exchange.code, exchange.details, exchange.initial or (), exchange.trailing)


def status_error(
    code: StatusCode, details: str, initial: MetadataItems, trailing: MetadataItems
) -> grpc.aio.AioRpcError:
    """What a client gets for a status other than OK."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(*initial), grpc.aio.Metadata(*trailing), details, None)


class LocalMethod:
    """One method of one channel; calling it begins a call."""

    def __init__(self, method: str, encode: Encode, decode: Decode, find_server: FindServer) -> None:
        self._method = method
        self._encode = encode
        self._decode = decode
        self._find_server = find_server

    def unary(self, request: Any, *, timeout: float | None, metadata: MetadataItems) -> LocalCall:
        """Begin a call with one request."""
        payload = self._encode(request)
        call, exchange, server = self._begin(timeout, metadata)
        if server is not None:
            server.start(self._method, exchange, payload)
        return call

    def stream(self, requests: RequestStream | None, *, timeout: float | None, metadata: MetadataItems) -> LocalCall:
        """Begin a call with a stream of requests: from an iterator, or by `call.write`."""
        call, exchange, server = self._begin(timeout, metadata)
        if server is not None:
            server.start(self._method, exchange, None)
            if requests is not None and exchange.code is None:
                server.feed(exchange, call.feed(requests))
        return call

    def _begin(self, timeout: float | None, metadata: MetadataItems) -> tuple[LocalCall, Exchange, LocalServer | None]:
        server = self._find_server()
        limit_bytes = 0 if server is None else server.max_message_bytes
        exchange = Exchange(asyncio.get_running_loop(), metadata, timeout, limit_bytes)
        if server is None:
            exchange.finish(StatusCode.UNAVAILABLE, "nothing serves this local: address in this process")
        return LocalCall(exchange, self._encode, self._decode), exchange, server


class LocalChannel(grpc.aio.Channel):
    """Calls the server of that name in the same `Net`, whenever it is there."""

    def __init__(self, find_server: FindServer) -> None:
        self._find_server = find_server

    def unary_unary(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any
    ) -> Any:
        return LocalMethod(method, request_serializer, response_deserializer, self._find_server).unary

    def unary_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any
    ) -> Any:
        return LocalMethod(method, request_serializer, response_deserializer, self._find_server).unary

    def stream_unary(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any
    ) -> Any:
        return LocalMethod(method, request_serializer, response_deserializer, self._find_server).stream

    def stream_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any
    ) -> Any:
        return LocalMethod(method, request_serializer, response_deserializer, self._find_server).stream

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Nothing is held open."""

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: ARG002, FBT001, FBT002 - the library\'s signature
        return grpc.ChannelConnectivity.IDLE if self._find_server() is None else grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        raise NotImplementedError("a local: channel does not watch its server; call it and look at the status")

    async def channel_ready(self) -> None:
        if self._find_server() is None:
            raise NotImplementedError("a local: channel does not wait for its server; serve before you call")
