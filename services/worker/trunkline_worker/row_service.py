"""`trunkline.worker.v1` over models that read texts and answer at once: sentence encoders and classifiers."""

# ruff: noqa: ARG002, N802 - names and parameters are the protocol's

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

import grpc

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline.worker.v1.worker_service_pb2_grpc import WorkerServiceServicer
from trunkline_kit.clock import Clock
from trunkline_kit.errors import InvalidRequest, Unavailable, Unsupported
from trunkline_worker.classifying import Classifier
from trunkline_worker.embedding import Embedder
from trunkline_worker.load import EngineLoad
from trunkline_worker.metrics import WorkerMetrics
from trunkline_worker.service import deadline_s, is_due, load_interval_s
from trunkline_worker.wire import load_response

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


class RowService(WorkerServiceServicer):
    """A worker whose model reads texts and answers at once. What it does not override it refuses."""

    does = ""

    def __init__(
        self, waiting: Callable[[], int], info: pb.GetModelInfoResponse, metrics: WorkerMetrics, clock: Clock
    ) -> None:
        self._waiting = waiting
        self._clock = clock
        self._info = info
        self._metrics = metrics
        self._draining = False
        self._closing = False

    def close(self) -> None:
        """The server is about to stop: refuse new work and end the load streams."""
        self._draining = self._closing = True

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> AsyncIterator[pb.GenerateResponse]:
        raise self._cannot("generate")
        yield  # type: ignore[unreachable]  # makes this a generator, as the generated code expects

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        raise self._cannot("embed")

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        raise self._cannot("classify")

    async def Rerank(self, request: pb.RerankRequest, context: Context) -> pb.RerankResponse:
        raise self._cannot("rerank")

    async def Abort(self, request: pb.AbortRequest, context: Context) -> pb.AbortResponse:
        if not request.request_id:
            raise InvalidRequest("request_id is empty", param="request_id")
        return pb.AbortResponse(found=False)

    async def GetLoad(self, request: pb.GetLoadRequest, context: Context) -> AsyncIterator[pb.GetLoadResponse]:
        interval_s = load_interval_s(request)
        last: pb.GetLoadResponse | None = None
        silent_s = 0.0
        while True:
            load = load_response(self.load(), 0.0)
            silent_s += interval_s
            if load != last or is_due(request, silent_s):
                last, silent_s = load, 0.0
                yield load
            if self._closing:
                return
            await asyncio.sleep(interval_s)

    async def GetModelInfo(self, request: pb.GetModelInfoRequest, context: Context) -> pb.GetModelInfoResponse:
        return self._info

    async def Drain(self, request: pb.DrainRequest, context: Context) -> pb.DrainResponse:
        """Texts take milliseconds: those under way end by themselves."""
        self._draining = True
        return pb.DrainResponse(finished=self._waiting(), cancelled=0)

    def load(self) -> EngineLoad:
        under_way = self._waiting()
        running = min(1, under_way)
        return EngineLoad(running=running, waiting=under_way - running, max_running=1, draining=self._draining)

    def _admit(self, context: Context) -> float | None:
        """The call's deadline. Raises Unavailable while this worker is draining."""
        if self._draining:
            raise Unavailable("this worker is draining; send the request to another one", retry_after_s=1.0)
        return deadline_s(context, self._clock)

    def _read(self, finish: str, tokens: int) -> None:
        self._metrics.read(self._info.model, finish, tokens)

    def _cannot(self, what: str) -> Unsupported:
        return Unsupported(f"{self._info.model} {self.does}; it cannot {what}", param="model")


class EmbedService(RowService):
    """A worker whose model makes vectors."""

    does = "makes vectors"

    def __init__(self, embedder: Embedder, info: pb.GetModelInfoResponse, metrics: WorkerMetrics, clock: Clock) -> None:
        super().__init__(lambda: embedder.waiting, info, metrics, clock)
        self._embedder = embedder

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        made = await self._embedder.embed(list(request.texts), self._admit(context))
        self._read("embedded", made.prompt_tokens)
        vectors = made.vectors.astype("<f4", copy=False)
        return pb.EmbedResponse(
            embeddings=[pb.Embedding(vector_f32=vector.tobytes()) for vector in vectors],
            prompt_tokens=made.prompt_tokens,
            encoder_id=f"{self._info.model}@{self._info.revision}",
            truncated_texts=made.truncated_texts,
        )


class ClassifyService(RowService):
    """A worker whose model tells texts apart."""

    does = "classifies"

    def __init__(
        self, classifier: Classifier, info: pb.GetModelInfoResponse, metrics: WorkerMetrics, clock: Clock
    ) -> None:
        super().__init__(lambda: classifier.waiting, info, metrics, clock)
        self._classifier = classifier

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        made = await self._classifier.classify(list(request.texts), self._admit(context))
        self._read("classified", made.prompt_tokens)
        return pb.ClassifyResponse(
            classifications=[_classification(self._classifier.labels, row) for row in made.scores.tolist()],
            prompt_tokens=made.prompt_tokens,
            truncated_texts=made.truncated,
        )

    async def Rerank(self, request: pb.RerankRequest, context: Context) -> pb.RerankResponse:
        made = await self._classifier.rerank(request.query, list(request.documents), self._admit(context))
        self._read("reranked", made.prompt_tokens)
        return pb.RerankResponse(
            scores=made.scores[:, 0].tolist(), prompt_tokens=made.prompt_tokens, truncated_documents=made.truncated
        )


def _classification(labels: Sequence[str], scores: Sequence[float]) -> pb.Classification:
    pairs = zip(labels, scores, strict=True)
    return pb.Classification(labels=[pb.LabelScore(label=label, p=score) for label, score in pairs])
