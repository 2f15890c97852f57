"""What every incoming call passes, whatever the transport: trace parent, longest duration, errors to statuses.

Handlers are wrapped when they are registered. An interceptor of the gRPC library would do the same for sockets only,
and would cost a task for each call.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias

import grpc
from grpc import StatusCode

from trunkline_kit.error_shapes import grpc_status
from trunkline_kit.errors import DeadlineExceeded, Internal, TrunklineError
from trunkline_kit.lifecycle import Drain
from trunkline_kit.rpc.client_edge import from_rpc_error
from trunkline_kit.tracing import TRACEPARENT, Tracing

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Handlers: TypeAlias = "grpc.GenericRpcHandler[Any, Any]"
Behaviour = Callable[[Any, Context], Any]

_log = logging.getLogger(__name__)


class Guard:
    """Stands around the handlers of one served address."""

    def __init__(self, max_call_s: float, tracing: Tracing, metadata_of: Callable[[Any], Any]) -> None:
        self._metadata_of = metadata_of
        self._max_call_s = max_call_s
        self._tracing = tracing
        self._drain = Drain()

    async def finish(self, grace_s: float) -> None:
        """Give running handlers `grace_s` seconds, then cancel them with UNAVAILABLE; returns when the last has ended.

        The gRPC library's own `stop` returns while handlers still use what is about to be closed.
        """
        await self._drain.finish(grace_s)

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The same handler, guarded."""
        behaviour = _behaviour(handler)
        relay = _relay if handler.response_streaming else None

        async def guarded(request: Any, context: Context) -> Any:
            task = self._drain.begin()
            try:
                with self._tracing.server_span(method, self._traceparent(context)):
                    answer = behaviour(request, context)
                    work = answer if relay is None else relay(answer, context)
                    remaining_s: float | None = context.time_remaining()
                    if remaining_s is not None and remaining_s <= self._max_call_s:
                        return await work
                    return await self._capped(work)
            except BaseException as error:  # noqa: BLE001 - one of the two edges; `_refuse` always raises
                await self._refuse(error, method, context)
            finally:
                self._drain.end(task)

        return _KINDS[handler.request_streaming, handler.response_streaming](
            guarded, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )

    async def _refuse(self, error: BaseException, method: str, context: Context) -> NoReturn:
        """End the call as `error` says. Raises: what ends a handler of the gRPC library is an exception."""
        match error:
            case asyncio.CancelledError() if self._drain.cancelling:
                await context.abort(StatusCode.UNAVAILABLE, "the server is shutting down")
            case grpc.aio.UsageError() | grpc.aio.InternalError():
                # A send that failed: the client has gone, and nobody is left to tell.
                raise asyncio.CancelledError from error
            case NotImplementedError():
                await context.abort(StatusCode.UNIMPLEMENTED, f"{method} is not implemented")
            case Exception() if not isinstance(error, grpc.aio.AbortError):
                status = grpc_status(_known(error, method))
                await context.abort(status.code, status.details, status.trailing_metadata)
        raise error

    def _traceparent(self, context: Context) -> str:
        for key, value in self._metadata_of(context) or ():
            if key == TRACEPARENT:
                return str(value)
        return ""

    async def _capped(self, work: Awaitable[Any]) -> Any:
        """Run `work` within the longest duration; a shorter deadline of its own is the transport's affair."""
        cap = asyncio.timeout(self._max_call_s)
        try:
            async with cap:
                return await work
        except TimeoutError as error:
            if cap.expired():
                raise DeadlineExceeded(f"no call may run longer than {self._max_call_s:g} s") from error
            raise


async def _relay(answer: Any, context: Context) -> None:
    """Send what the handler yields. Closes its generator also when the call is cancelled in the middle of a send."""
    if inspect.isawaitable(answer):
        await answer
        return
    async with aclosing(answer) as messages:
        async for message in messages:
            await context.write(message)


def _known(error: Exception, method: str) -> TrunklineError:
    """One of our errors in place of any other. What it was goes to the log and nowhere else."""
    if isinstance(error, TrunklineError):
        return error
    if isinstance(error, grpc.aio.AioRpcError):
        return from_rpc_error(error)
    _log.error("unforeseen error in %s", method, exc_info=error)
    return Internal("internal error; the server's log has the cause")


def _behaviour(handler: Handler) -> Behaviour:
    found: Behaviour | None = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream  # type: ignore[assignment]
    )
    if found is None:
        raise TypeError("this handler has no behaviour")
    return found


_KINDS: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class GuardedHandlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """A service's handlers, guarded on first use."""

    def __init__(self, inner: Handlers, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard
        self._guarded: dict[str, Handler] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        method = handler_call_details.method
        guarded = self._guarded.get(method)
        if guarded is None:
            handler = self._inner.service(handler_call_details)
            if handler is None:
                return None
            guarded = self._guarded[method] = self._guard.wrap(method, handler)
        return guarded


class GuardedServer:
    """What registrars are given in place of the server: it takes what generated code registers and guards it."""

    def __init__(self, add: Callable[[Iterable[Handlers]], None], guard: Guard) -> None:
        self._add = add
        self._guard = guard

    def add_generic_rpc_handlers(self, handlers: Iterable[Handlers]) -> None:
        """Called by generated code."""
        self._add(tuple(GuardedHandlers(handler, self._guard) for handler in handlers))

    def add_registered_method_handlers(self, service_name: str, method_handlers: dict[str, Handler]) -> None:
        """Called by newer generated code, with what it has already given to `add_generic_rpc_handlers`."""
