"""`trunkline.worker.v1` over an engine or an embedder: decode, call, encode."""

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
from trunkline_kit.errors import InvalidRequest, TrunklineError, Unavailable, Unsupported
from trunkline_kit.parts import Kit
from trunkline_worker.answers import Answers
from trunkline_worker.catalogue import ModelKind
from trunkline_worker.embedding import Embedder
from trunkline_worker.engine import Engine
from trunkline_worker.generation import GenerationRequest, Usage
from trunkline_worker.load import EngineLoad
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
        asked = structs.replace(await self._tokenised(request), deadline_s=self._deadline_s(context))
        usage, unfinished = Usage(prompt_tokens=len(asked.prompt_ids), completion_tokens=0), asked.choices
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
                    yield answers.message(delta)
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
        return await refuse_classify(self._info.model, context)

    async def Abort(self, request: pb.AbortRequest, context: Context) -> pb.AbortResponse:
        return pb.AbortResponse(found=self._engine.abort(request.request_id))

    async def GetLoad(self, request: pb.GetLoadRequest, context: Context) -> AsyncIterator[pb.GetLoadResponse]:
        """The load now, then whenever it changed, at most every `min_interval_ms`, until the caller leaves."""
        interval_s = load_interval_s(request)
        last: pb.GetLoadResponse | None = None
        while self._engine.failure is None:
            load = load_response(self._engine.load, self._clock.monotonic_s())
            news = says_more(load, last)
            if news:
                last = load
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

    def _deadline_s(self, context: Context) -> float | None:
        """When the caller's time is over, by this process's clock."""
        left_s: float | None = context.time_remaining()
        return None if left_s is None else self._clock.monotonic_s() + left_s


class EmbedService(WorkerServiceServicer):
    """A worker whose model makes vectors."""

    def __init__(self, embedder: Embedder, info: pb.GetModelInfoResponse, metrics: WorkerMetrics) -> None:
        self._embedder = embedder
        self._info = info
        self._metrics = metrics
        self._draining = False
        self._closing = False

    def close(self) -> None:
        """The server is about to stop: refuse new work and end the load streams."""
        self._draining = self._closing = True

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> AsyncIterator[pb.GenerateResponse]:
        raise Unsupported(f"{self._info.model} makes vectors; it cannot generate", param="model")
        yield  # type: ignore[unreachable]  # makes this a generator, as the generated code expects

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        if self._draining:
            raise Unavailable("this worker is draining; send the request to another one", retry_after_s=1.0)
        made = await self._embedder.embed(list(request.texts))
        self._metrics.embedded(self._info.model, made.prompt_tokens)
        vectors = made.vectors.astype("<f4", copy=False)
        return pb.EmbedResponse(
            embeddings=[pb.Embedding(vector_f32=vector.tobytes()) for vector in vectors],
            prompt_tokens=made.prompt_tokens,
            encoder_id=f"{self._info.model}@{self._info.revision}",
            truncated_texts=made.truncated_texts,
        )

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        return await refuse_classify(self._info.model, context)

    async def Abort(self, request: pb.AbortRequest, context: Context) -> pb.AbortResponse:
        if not request.request_id:
            raise InvalidRequest("request_id is empty", param="request_id")
        return pb.AbortResponse(found=False)

    async def GetLoad(self, request: pb.GetLoadRequest, context: Context) -> AsyncIterator[pb.GetLoadResponse]:
        interval_s = load_interval_s(request)
        last: pb.GetLoadResponse | None = None
        while True:
            load = load_response(self.load(), 0.0)
            if load != last:
                last = load
                yield load
            if self._closing:
                return
            await asyncio.sleep(interval_s)

    async def GetModelInfo(self, request: pb.GetModelInfoRequest, context: Context) -> pb.GetModelInfoResponse:
        return self._info

    async def Drain(self, request: pb.DrainRequest, context: Context) -> pb.DrainResponse:
        """Embeddings take milliseconds: those under way end by themselves."""
        self._draining = True
        return pb.DrainResponse(finished=self._embedder.waiting, cancelled=0)

    def load(self) -> EngineLoad:
        under_way = self._embedder.waiting
        running = min(1, under_way)
        return EngineLoad(running=running, waiting=under_way - running, max_running=1, draining=self._draining)


def _is_guided(request: pb.GenerateRequest) -> bool:
    """Whether a grammar has to be compiled, which may take a while."""
    return bool(request.tools_json or request.response_format_json or request.regex or request.options)


def load_interval_s(request: pb.GetLoadRequest) -> float:
    return max(10, request.min_interval_ms or _LOAD_INTERVAL_MS) / 1000


async def refuse_classify(model: str, context: Context) -> pb.ClassifyResponse:
    text = f"{model} has no classifier heads; routes are classified by the router service"
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, text)
    raise AssertionError("abort does not return")


def model_info(kind: ModelKind, context_tokens: int, vocabulary_size: int) -> pb.GetModelInfoResponse:
    wire_kind = pb.MODEL_KIND_GENERATE if kind is ModelKind.GENERATE else pb.MODEL_KIND_EMBED
    return pb.GetModelInfoResponse(kind=wire_kind, context_tokens=context_tokens, vocabulary_size=vocabulary_size)
