"""What every outgoing call passes, whatever the transport: a deadline is required, the trace context goes along."""

from collections.abc import Callable
from typing import Any, Self

import grpc
from opentelemetry.trace import get_current_span

from trunkline_kit.error_shapes import from_grpc_status
from trunkline_kit.errors import TrunklineError
from trunkline_kit.rpc.exchange import MetadataItems
from trunkline_kit.tracing import TRACEPARENT, traceparent_of


class GuardedMethod:
    """One method of a stub."""

    def __init__(self, method: str, begin: Callable[..., Any]) -> None:
        self._method = method
        self._begin = begin

    def __call__(
        self, request: Any = None, timeout: float | None = None, metadata: Any = None, **unsupported: Any
    ) -> Any:
        """Begin the call. Raises TypeError without `timeout=` or with an option that not every transport has."""
        if timeout is None:
            raise TypeError(f"{self._method}: pass timeout= (seconds), what is left of the request's time budget")
        if unsupported and any(value is not None for value in unsupported.values()):
            raise TypeError(f"{self._method}: options {sorted(unsupported)} are not the same on every transport")
        items: MetadataItems = () if metadata is None else checked(metadata)
        context = get_current_span().get_span_context()
        if context.is_valid:
            items = (*(item for item in items if item[0] != TRACEPARENT), (TRACEPARENT, traceparent_of(context)))
        return self._begin(request, timeout=timeout, metadata=items)


def checked(metadata: Any) -> MetadataItems:
    """Metadata in one shape. Raises ValueError for a key or value that HTTP/2 would not carry."""
    items: MetadataItems = tuple((str(key), value) for key, value in metadata)
    for key, value in items:
        if key != key.lower() or not key.isascii() or not key:
            raise ValueError(f"metadata key {key!r}: use lower case ASCII")
        if key.endswith("-bin") != isinstance(value, bytes):
            raise ValueError(f"metadata {key!r}: bytes need a key that ends in -bin, and only they may have one")
        if isinstance(value, str) and not (value.isascii() and (value.isprintable() or not value)):
            raise ValueError(f"metadata {key!r}: the value has characters that cannot travel; encode it or use -bin")
    return items


class OwnedCall:
    """A call over a socket that is cancelled when nobody holds it any more, as `local:` calls are.

    The gRPC library's own calls hold themselves, so that a stream left by `break` would go on until its deadline.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._messages: Any = None

    def __del__(self) -> None:
        if not self._call.done():
            self._call.cancel()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __aiter__(self) -> Self:
        self._messages = self._call.__aiter__()
        return self

    async def __anext__(self) -> Any:
        return await self._messages.__anext__()

    # Spelled out where something is awaited: a bound method of the inner call would not keep this object alive.

    async def read(self) -> Any:
        return await self._call.read()

    async def write(self, request: Any) -> None:
        await self._call.write(request)

    async def done_writing(self) -> None:
        await self._call.done_writing()

    async def initial_metadata(self) -> Any:
        return await self._call.initial_metadata()

    async def trailing_metadata(self) -> Any:
        return await self._call.trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        code: grpc.StatusCode = await self._call.code()
        return code

    async def details(self) -> str:
        return str(await self._call.details())


class GuardedChannel(grpc.aio.Channel):
    """A channel whose calls pass the guard. `own` wraps the calls that answer with a stream."""

    def __init__(self, inner: grpc.aio.Channel, own: Callable[[Any], Any] | None = None) -> None:
        self._inner = inner
        self._own = own

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        return GuardedMethod(method, self._inner.unary_unary(method, *arguments, **options))

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        return GuardedMethod(method, self._owned(self._inner.unary_stream(method, *arguments, **options)))

    def stream_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        return GuardedMethod(method, self._inner.stream_unary(method, *arguments, **options))

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        return GuardedMethod(method, self._owned(self._inner.stream_stream(method, *arguments, **options)))

    def _owned(self, begin: Callable[..., Any]) -> Callable[..., Any]:
        own = self._own
        if own is None:
            return begin
        return lambda request, **options: own(begin(request, **options))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - the library\'s signature
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()


def from_rpc_error(error: grpc.aio.AioRpcError) -> TrunklineError:
    """The error that the servicer raised, as near as it can be known.

    For `raise from_rpc_error(error) from error`.
    """
    pairs: Any = error.trailing_metadata() or ()
    trailing = dict(pairs)
    retry_after = _text(trailing.get("retry-after-ms"))
    return from_grpc_status(
        error.code(),
        error.details() or error.code().name,
        reason=_text(trailing.get("trunkline-reason")),
        param=_text(trailing.get("trunkline-param")) or None,
        retry_after_s=int(retry_after) / 1000 if retry_after.isdecimal() else None,
    )


def _text(value: str | bytes | None) -> str:
    return value if isinstance(value, str) else ""
