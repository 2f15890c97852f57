"""`trunkline.worker.v1` over an engine: decode, call, encode."""

# ruff: noqa: ARG002, N802 - names and parameters are the protocol's

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import grpc
from msgspec import structs

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline.worker.v1.worker_service_pb2_grpc import WorkerServiceServicer
from trunkline_kit.clock import Clock
from trunkline_kit.errors import Conflict, TrunklineError, Unavailable, Unsupported
from trunkline_kit.parts import Kit
from trunkline_worker.answers import Answers
from trunkline_worker.catalogue import ModelKind
from trunkline_worker.engine import Engine
from trunkline_worker.generation import GenerationRequest, Usage
from trunkline_worker.metrics import WorkerMetrics
from trunkline_worker.spans import record_phases
from trunkline_worker.wire import Intake, generation_request, load_response, says_more

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

_LOAD_INTERVAL_MS = 100
_INLINE_BYTES = 4_000
"""A larger request is tokenised in a thread; a smaller one holds the event loop for a few milliseconds at most."""
_IDLE_LOAD_S = 1.0
"""An idle worker's token rate still falls, so its load is sent again after this long at the latest."""

_KINDS = {
    ModelKind.GENERATE: pb.MODEL_KIND_GENERATE,
    ModelKind.EMBED: pb.MODEL_KIND_EMBED,
    ModelKind.CLASSIFY: pb.MODEL_KIND_CLASSIFY,
}


class GenerateService(WorkerServiceServicer):
    """A worker whose model generates."""

    def __init__(
        self, engine: Engine, intake: Intake, info: pb.GetModelInfoResponse, metrics: WorkerMetrics, kit: Kit
    ) -> None:
        self._engine = engine
        self._intake = intake
        self._codec = intake.codec
        self._info = info
        self._metrics = metrics
        self._clock = kit.clock
        self._tracing = kit.tracing
        self._closing = False

    def close(self) -> None:
        """The server is about to stop: refuse new work and end the load streams, which would outlast any grace."""
        self._closing = True
        self._engine.refuse()

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> AsyncIterator[pb.GenerateResponse]:
        """The request's deltas, one message each."""
        if request.HasField("begun") and request.begun.revision != self._info.revision:
            raise Conflict("the answer was begun by another model than this worker has; ask it anew")
        asked = structs.replace(await self._tokenised(request), deadline_s=deadline_s(context, self._clock))
        revision = self._info.revision
        usage = Usage(prompt_tokens=len(asked.prompt_ids) - asked.begun, completion_tokens=0)
        unfinished = asked.choices
        answers = Answers(request, asked, self._codec)
        meter = self._metrics.serving.begin(self._info.model, self._clock.monotonic_s())
        try:
            async with aclosing(self._engine.generate(asked)) as deltas:
                async for delta in deltas:
                    usage = delta.usage
                    unfinished -= delta.finish is not None
                    now_s = self._clock.monotonic_s()
                    meter.took(delta, now_s)
                    if not unfinished:
                        self._metrics.ended(self._info.model, delta)
                        meter.ended(delta, now_s)
                        record_phases(self._tracing, delta, self._clock.now_s())
                    message = answers.message(delta)
                    message.revision, revision = revision, ""
                    yield message
        except TrunklineError:
            self._metrics.failed(self._info.model, usage)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            if unfinished:
                self._metrics.left(self._info.model, usage)
            raise

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        raise Unsupported(f"{self._info.model} generates; it cannot embed", param="model")

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        raise Unsupported(f"{self._info.model} generates; it cannot classify", param="model")

    async def Rerank(self, request: pb.RerankRequest, context: Context) -> pb.RerankResponse:
        raise Unsupported(f"{self._info.model} generates; it cannot rerank", param="model")

    async def Abort(self, request: pb.AbortRequest, context: Context) -> pb.AbortResponse:
        return pb.AbortResponse(found=self._engine.abort(request.request_id))

    async def GetLoad(self, request: pb.GetLoadRequest, context: Context) -> AsyncIterator[pb.GetLoadResponse]:
        """The load now, then whenever it changed, at most every `min_interval_ms`, until the caller leaves."""
        interval_s, loop = load_interval_s(request), asyncio.get_running_loop()
        last, told_s = None, loop.time()
        while self._engine.failure is None:
            load = load_response(self._engine.load, self._clock.monotonic_s())
            news = says_more(load, last) or is_due(request, loop.time() - told_s)
            if news:
                last, told_s = load, loop.time()
                yield load
            if self._closing:
                return
            await asyncio.sleep(interval_s)
            if news:
                # What changed meanwhile must not wait for the next change.
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_LOAD_S):
                    await self._engine.changed()
        raise Unavailable("the model engine has failed; this worker must be restarted")

    async def GetModelInfo(self, request: pb.GetModelInfoRequest, context: Context) -> pb.GetModelInfoResponse:
        if self._engine.failure is not None:
            raise Unavailable(self._engine.failure.message)
        return self._info

    async def Drain(self, request: pb.DrainRequest, context: Context) -> pb.DrainResponse:
        result = await self._engine.drain(request.grace_ms / 1000)
        return pb.DrainResponse(finished=result.finished, cancelled=result.cancelled)

    async def _tokenised(self, request: pb.GenerateRequest) -> GenerationRequest:
        if request.ByteSize() <= _INLINE_BYTES and not _is_guided(request):
            return generation_request(request, self._intake)
        return await asyncio.to_thread(generation_request, request, self._intake)


def deadline_s(context: Context, clock: Clock) -> float | None:
    """When the caller's time is over, by this process's clock."""
    left_s: float | None = context.time_remaining()
    return None if left_s is None else clock.monotonic_s() + left_s


def _is_guided(request: pb.GenerateRequest) -> bool:
    """Whether a grammar has to be compiled, which may take a while."""
    return bool(request.tools_json or request.response_format_json or request.regex or request.options)


def load_interval_s(request: pb.GetLoadRequest) -> float:
    return max(10, request.min_interval_ms or _LOAD_INTERVAL_MS) / 1000


def is_due(request: pb.GetLoadRequest, silent_s: float) -> bool:
    """Whether something has to be said though nothing has changed."""
    return request.heartbeat_ms > 0 and silent_s * 1000 >= request.heartbeat_ms


def model_info(kind: ModelKind, context_tokens: int, vocabulary_size: int) -> pb.GetModelInfoResponse:
    return pb.GetModelInfoResponse(kind=_KINDS[kind], context_tokens=context_tokens, vocabulary_size=vocabulary_size)
