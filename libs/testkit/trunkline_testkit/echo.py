"""A servicer with every kind of behaviour a transport must carry. Tests look at its events."""

# ruff: noqa: N802, ARG002 - names and parameters are the protocol's

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from opentelemetry import trace

from trunkline.testkit.v1 import echo_service_pb2 as pb
from trunkline.testkit.v1.echo_service_pb2_grpc import EchoServiceServicer
from trunkline_kit.errors import RateLimited
from trunkline_kit.tracing import current_traceparent

RETRY_AFTER_S = 1.5


class EchoServicer(EchoServiceServicer):
    """Says what it was told, and what it saw."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        """A `Hang`, a `Repeat` or a `Chat` has begun."""
        self.cancelled = asyncio.Event()
        """A `Hang` or a `Repeat` was cancelled."""
        self.ended = asyncio.Event()
        """A `Chat` is over. Over a socket, a handler that reads may see a cancelled stream just end."""
        self.sent = 0
        """Messages that `Repeat` got rid of."""
        self.sent_some = asyncio.Condition()
        self.metadata: list[tuple[str, str | bytes]] = []
        self.running = 0
        self.release = asyncio.Event()
        """Lets every `Hang` return."""
        self.last_answer = pb.EchoResponse()
        self.span: trace.SpanContext | None = None

    async def Echo(self, request: pb.EchoRequest, context: Any) -> pb.EchoResponse:
        self.metadata = list(context.invocation_metadata())
        self.span = trace.get_current_span().get_span_context()
        received = dict(self.metadata)
        if "x-initial" in received:
            await context.send_initial_metadata((("x-initial", received["x-initial"]), ("x-raw-bin", b"\x00\xff")))
        if "x-trailing" in received:
            context.set_trailing_metadata((("x-trailing", received["x-trailing"]),))
        remaining_s = context.time_remaining()
        self.last_answer = pb.EchoResponse(
            text=request.text,
            payload=request.payload or bytes(request.answer_bytes),
            time_remaining_s=-1.0 if remaining_s is None else remaining_s,
            traceparent=current_traceparent(),
            peer=context.peer(),
        )
        return self.last_answer

    async def Repeat(self, request: pb.RepeatRequest, context: Any) -> AsyncIterator[pb.RepeatResponse]:
        padding = bytes(request.padding_bytes)
        self.entered.set()
        try:
            index = 0
            while index < request.count or request.count == 0:
                yield pb.RepeatResponse(text=request.text, index=index, padding=padding)
                index += 1
                async with self.sent_some:
                    self.sent = index
                    self.sent_some.notify_all()
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise
        if request.fail:
            raise RateLimited("after the last message", retry_after_s=RETRY_AFTER_S)

    async def Join(self, request_iterator: AsyncIterator[pb.JoinRequest], context: Any) -> pb.JoinResponse:
        texts = [request.text async for request in request_iterator]
        return pb.JoinResponse(text="".join(texts), count=len(texts))

    async def Chat(
        self, request_iterator: AsyncIterator[pb.ChatRequest], context: Any
    ) -> AsyncIterator[pb.ChatResponse]:
        self.entered.set()
        try:
            async for request in request_iterator:
                yield pb.ChatResponse(text=request.text.upper())
        finally:
            self.ended.set()

    async def Hang(self, request: pb.HangRequest, context: Any) -> pb.HangResponse:
        self.running += 1
        self.entered.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.running -= 1
        return pb.HangResponse()

    async def Fail(self, request: pb.FailRequest, context: Any) -> pb.FailResponse:
        if request.kind == pb.FAIL_KIND_ABORT:
            trailing = (("x-why", "asked"), ("x-raw-bin", b"\x01\x02"))
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, request.details, trailing)
        if request.kind == pb.FAIL_KIND_TRUNKLINE_ERROR:
            raise RateLimited(request.details, param="model", retry_after_s=RETRY_AFTER_S)
        if request.kind == pb.FAIL_KIND_BUG:
            raise KeyError(request.details)
        context.set_code(grpc.StatusCode.OUT_OF_RANGE)
        context.set_details(request.details)
        return pb.FailResponse()
