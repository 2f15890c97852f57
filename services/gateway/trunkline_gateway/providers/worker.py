"""Our own workers: one model each, over gRPC, answered in OpenAI's dialect."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import msgspec

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_gateway import worker_requests
from trunkline_gateway.answers import (
    FINISH_REASONS,
    Collected,
    Heading,
    Writer,
    embedding_list,
    likeliest,
    usage_from,
)
from trunkline_gateway.chunks import Chunk
from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import Answer, AttemptFailed, Call, Provider, Terms
from trunkline_gateway.replicas.opening import SharedReplicas, open_crew
from trunkline_gateway.replicas.pool import Parts, ReplicaPool
from trunkline_gateway.replicas.sending import ANEW, EOF, Route, Sent, ask
from trunkline_gateway.replicas.wanting import NOTHING, wanted_of, wanted_pairs, wanted_texts
from trunkline_gateway.rerank import asked_of, scored
from trunkline_gateway.surface import Surface
from trunkline_gateway.usage import usage_of
from trunkline_gateway.worker_requests import Abilities
from trunkline_kit.errors import (
    ContextTooLong,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    TrunklineError,
    Unavailable,
    Unsupported,
    UpstreamError,
    UpstreamUnavailable,
)
from trunkline_kit.providers import WorkerProvider
from trunkline_kit.rpc import from_rpc_error

INFO_S = 60.0
"""How long what a worker says about its model is believed."""
INFO_TIMEOUT_S = 2.0
END_OF_CALL_S = 1.0
"""How long the end of a call may take after its last step."""
QUEUE_RETRY_S = 1.0
"""What a caller is told to wait when a worker's queue is full and it names no time itself."""


class Info(msgspec.Struct, frozen=True):
    """What a worker said about its model, and when."""

    reply: pb.GetModelInfoResponse
    asked_s: float


class Workers:
    """All workers of one `providers:` entry: the replicas of each model, looked for with the first request for it."""

    kind = "worker"

    def __init__(self, name: str, settings: WorkerProvider, shared: SharedReplicas, parts: Parts) -> None:
        self.name = name
        self._settings = settings
        self._shared = shared
        self._parts = parts
        self._clock = parts.clock
        self._pools: dict[str, ReplicaPool] = {}
        self._infos: dict[str, Info] = {}

    async def whole(self, call: Call, target: Target, terms: Terms) -> Answer:
        try:
            if call.surface is Surface.RERANK:
                return await self._rerank(call, target, terms)
            if call.surface is Surface.EMBEDDING:
                return await self._embed(call, target, terms)
            stream = await self._generate(call, target, terms, restarts=True)
            return await stream.collected()
        except grpc.aio.AioRpcError as error:
            raise self.failed(error) from error

    async def stream(self, call: Call, target: Target, terms: Terms) -> "Generation":
        try:
            return await self._generate(call, target, terms, restarts=False)
        except grpc.aio.AioRpcError as error:
            raise self.failed(error) from error

    def streams_whole(self, call: Call, target: Target) -> bool:  # noqa: ARG002 - the Protocol's
        """Never: the call is a stream as it is, and ends with an error as soon as the worker does."""
        return False

    async def check(self, provider_model: str) -> str | None:
        """Raises UpstreamUnavailable when no worker of this model answers."""
        pool = self._pool(provider_model)
        try:
            reply = await self._asked(pool, Terms(connect_s=INFO_TIMEOUT_S, total_s=INFO_TIMEOUT_S))
        except grpc.aio.AioRpcError as error:
            raise _told(self.failed(error)) from error
        except AttemptFailed as error:
            raise error.error from error
        model = f"{reply.model} {reply.variant}".strip()
        return model if len(pool.replicas) == 1 else f"{model}, {pool.standing} of {len(pool.replicas)} replicas"

    def _pool(self, provider_model: str) -> ReplicaPool:
        pool = self._pools.get(provider_model)
        if pool is None:
            pool = self._shared.pool((self.name, provider_model), self._settings, self._parts)
            self._pools[provider_model] = pool
        return pool

    async def _info(self, pool: ReplicaPool, terms: Terms) -> pb.GetModelInfoResponse:
        known = self._infos.get(pool.place[1])
        now_s = self._clock.monotonic_s()
        if known is None or now_s - known.asked_s > INFO_S:
            known = self._infos[pool.place[1]] = Info(await self._asked(pool, terms), now_s)
        return known.reply

    async def _asked(self, pool: ReplicaPool, terms: Terms) -> pb.GetModelInfoResponse:
        request = pb.GetModelInfoRequest()
        reply: pb.GetModelInfoResponse = await ask(
            Route(pool, NOTHING, terms),
            lambda stub, left_s: stub.GetModelInfo(request, timeout=min(left_s, INFO_TIMEOUT_S)),
        )
        return reply

    async def _generate(self, call: Call, target: Target, terms: Terms, *, restarts: bool) -> "Generation":
        pool = self._pool(target.provider_model)
        info = await self._info(pool, terms)
        if info.kind == pb.MODEL_KIND_EMBED:
            raise InvalidRequest(f"the model {target.model!r} makes embeddings; use /v1/embeddings", param="model")
        request = _request(call, info)
        request.cache_salt, request.priority = call.cache_salt, call.priority
        writer = Writer(
            call.surface,
            Heading(
                id=call.answer_id or f"{'chatcmpl' if call.surface is Surface.CHAT else 'cmpl'}-{call.request_id}",
                created=int(self._clock.now_s()),
                model=target.model,
                fingerprint=info.revision or None,
            ),
            usage_in_stream=call.wants_usage,
            top_logprobs=request.top_logprobs > 0,
        )
        wanted = wanted_of(request, pool.tokens_per_byte)
        route = Route(pool, wanted, terms, restarts=restarts, resumes=self._settings.resume)
        await route.opened()
        rpc = Sent(route, request)
        return Generation(self, rpc, writer, call, choices=request.choices or 1)

    async def _embed(self, call: Call, target: Target, terms: Terms) -> Answer:
        asked = worker_requests.embedding(call.body)
        pool = self._pool(target.provider_model)
        info = await self._info(pool, terms)
        if info.kind not in (pb.MODEL_KIND_EMBED, pb.MODEL_KIND_UNSPECIFIED):
            raise InvalidRequest(f"the model {target.model!r} does not make embeddings", param="model")
        if asked.dimensions not in (None, info.embedding_dimensions):
            raise AttemptFailed(
                FailureKind.UNFIT,
                Unsupported(f"this model makes vectors of {info.embedding_dimensions} dimensions", param="dimensions"),
            )
        route = Route(pool, wanted_texts(asked.request, pool.tokens_per_byte), terms)
        reply = await ask(route, lambda stub, left_s: stub.Embed(asked.request, timeout=left_s))
        usage = usage_of(reply.prompt_tokens, 0)
        return Answer(body=embedding_list(reply, target.model, as_base64=asked.as_base64), usage=usage)

    async def _rerank(self, call: Call, target: Target, terms: Terms) -> Answer:
        try:
            asked = worker_requests.reranking(call.body)
        except Unsupported as error:
            raise AttemptFailed(FailureKind.UNFIT, error) from error
        pool = self._pool(target.provider_model)
        info = await self._info(pool, terms)
        if info.kind != pb.MODEL_KIND_CLASSIFY or len(info.labels) != 1:
            told = f"the model {target.model!r} does not rerank: that takes a classifier with one label"
            raise AttemptFailed(FailureKind.UNFIT, Unsupported(told, param="model"))
        route = Route(pool, wanted_pairs(asked, pool.tokens_per_byte), terms)
        reply = await ask(route, lambda stub, left_s: stub.Rerank(asked, timeout=left_s))
        found = scored(reply.scores, reply.prompt_tokens, asked_of(call.body), f"rerank-{call.request_id}")
        return Answer(body=found.body, usage=found.usage)

    def failed(self, error: grpc.aio.AioRpcError) -> Exception:
        """A worker's error: what the caller must hear, or a failed attempt."""
        found = from_rpc_error(error)
        if isinstance(found, ContextTooLong):
            return AttemptFailed(FailureKind.CONTEXT, found)
        if isinstance(found, InvalidRequest) and not isinstance(found, (Unsupported, ModelNotFound)):
            return found
        return _attempt_failed(self.name, found)


def _told(error: Exception) -> Exception:
    return error.error if isinstance(error, AttemptFailed) else error


def _request(call: Call, info: pb.GetModelInfoResponse) -> pb.GenerateRequest:
    """Raises InvalidRequest, or AttemptFailed for what only this model cannot do."""
    abilities = Abilities(
        tools=info.supports_tools,
        response_format=info.supports_response_format,
        choices=info.max_choices or 1,
    )
    try:
        if call.surface is Surface.CHAT:
            return worker_requests.chat(call.body, call.request_id, abilities)
        return worker_requests.completion(call.body, call.request_id, abilities)
    except Unsupported as error:
        raise AttemptFailed(FailureKind.UNFIT, error) from error


def _attempt_failed(name: str, found: TrunklineError) -> AttemptFailed:
    if isinstance(found, Overloaded):
        wait_s = QUEUE_RETRY_S if found.retry_after_s is None else found.retry_after_s
        return AttemptFailed(FailureKind.LIMITED, type(found)(found.message, retry_after_s=wait_s))
    if isinstance(found, Unsupported):
        return AttemptFailed(FailureKind.UNFIT, found)
    if isinstance(found, DeadlineExceeded):
        return AttemptFailed(FailureKind.SILENT, DeadlineExceeded(f"provider {name!r} did not finish in time"))
    if isinstance(found, Unavailable):
        text = f"the worker of provider {name!r} cannot be reached; see /readyz"
        return AttemptFailed(FailureKind.BROKEN, UpstreamUnavailable(text, retry_after_s=QUEUE_RETRY_S))
    return AttemptFailed(FailureKind.BROKEN, UpstreamError(f"the worker of provider {name!r} failed; see its log"))


class Generation:
    """One generation under way. Dropping or cutting it frees the worker's slot."""

    def __init__(self, workers: Workers, rpc: Sent, writer: Writer, call: Call, *, choices: int) -> None:
        self._workers = workers
        self._rpc = rpc
        self._writer = writer
        self._call = call
        self._role = call.surface is Surface.CHAT
        self._begun: set[int] = set()
        self._open = choices

    async def next(self) -> list[Chunk] | None:
        """The next step's chunks. Raises AttemptFailed or a TrunklineError."""
        if not self._open:
            return None
        try:
            step = await self._rpc.read()
        except grpc.aio.AioRpcError as error:
            raise self._workers.failed(error) from error
        if step is EOF:
            return None
        return self._chunks(step)

    def _chunks(self, step: pb.GenerateResponse) -> list[Chunk]:
        chunks = []
        if self._role and step.index not in self._begun:
            self._begun.add(step.index)
            chunks.append(Chunk(self._writer.role_chunk(step.index)))
        if step.text or step.logprobs:
            chunks.append(Chunk(self._writer.chunk(step.text, step.logprobs, None, step.index)))
        if step.tool_calls:
            chunks.append(Chunk(self._writer.call_chunk(step.tool_calls, step.index)))
        if step.finish_reason == pb.FINISH_REASON_UNSPECIFIED:
            return chunks
        self._open -= 1
        finish = FINISH_REASONS.get(step.finish_reason)
        if finish is None:
            self._open = 0
            raise UpstreamError("the worker gave this generation up; send it again")
        chunks.append(Chunk(self._writer.chunk("", (), finish, step.index), finished=(step.index,)))
        if not self._open:
            usage = usage_from(step.usage)
            chunks.append(Chunk(self._writer.usage_chunk(usage), usage=usage, bare_usage=True))
        return chunks

    async def collected(self) -> Answer:
        """The whole answer. Cancelled, it frees the slots."""
        answers = [Collected() for _ in range(self._open)]
        try:
            while (step := await self._rpc.read()) is not EOF:
                if step is ANEW:
                    self._open = len(answers)
                    answers = [Collected() for _ in answers]
                    continue
                answers[step.index].add(step)
                if step.finish_reason == pb.FINISH_REASON_UNSPECIFIED:
                    continue
                self._open -= 1
                if not self._open or step.finish_reason not in FINISH_REASONS:
                    await self.release()
                    return self._answer(answers, step)
        finally:
            self.cut()
        raise AttemptFailed(FailureKind.BROKEN, UpstreamError("the worker ended without finishing; send it again"))

    def _answer(self, answers: list[Collected], last: pb.GenerateResponse) -> Answer:
        if last.finish_reason not in FINISH_REASONS:
            raise AttemptFailed(FailureKind.BROKEN, UpstreamError("the worker gave this generation up; send it again"))
        usage = usage_from(last.usage)
        if len(answers) > self._call.choices:
            answers = likeliest(answers, self._call.choices)
            if not worker_requests.shows_logprobs(self._call.body):
                for answer in answers:
                    answer.logprobs.clear()
        return Answer(body=self._writer.whole(answers, usage), usage=usage)

    async def release(self) -> None:
        """After the last step only the call's status is left; a cancel in its place would look like a hang-up."""
        try:
            async with asyncio.timeout(END_OF_CALL_S):
                while await self._rpc.read() is not EOF:
                    pass
        except (TimeoutError, grpc.aio.AioRpcError):
            self.cut()

    def ending(self) -> list[Chunk]:
        return []

    def cut(self) -> None:
        self._rpc.cancel()


@asynccontextmanager
async def open_workers(name: str, settings: WorkerProvider, shared: SharedReplicas) -> AsyncIterator[Provider]:
    """Raises ConfigError for a target that cannot be followed here."""
    shared.check(settings)
    async with open_crew() as crew:
        yield Workers(name, settings, shared, shared.parts(crew))
