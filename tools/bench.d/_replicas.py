"""Simulated replicas: a worker's queue, slots, chunked prefill and prefix cache in real time, without the arithmetic.

`python _replicas.py SPEC` serves each replica of the JSON list SPEC ({grpc, http, slowness}) in our worker's protocol
at one port and as an OpenAI server at another, both before the same engine, until it is killed.

An engine does what `trunkline_worker.batching` does: one prompt is read at a time, in chunks that shrink to one and a
quarter decode steps while others decode; all that have their first token make one more in each step. Its cache keeps
blocks of 64 bytes, the least recently used first out. Four bytes are a token.
"""

import asyncio
import json
import sys
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any

from aiohttp import web

# ruff: noqa: ARG002, N802 - names and parameters are the protocols'
from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline.worker.v1.worker_service_pb2_grpc import WorkerServiceServicer, add_WorkerServiceServicer_to_server
from trunkline_kit.rpc import Net

TOKENS_PER_S = 8000.0
STEP_S, ROW_S = 0.010, 0.00025
"""A decode step: so long, and so much longer for each answer in it."""
SLOTS, CHUNK_TOKENS, WAIT_STEPS = 16, 256, 1.25
CACHE_TOKENS, MEMORY_TOKENS = 12_000, 60_000
BLOCK_BYTES, TOKEN_BYTES = 64, 4
SAID_EVERY = 8
"""Tokens between two messages of one answer: what is measured are its first token and its end."""


@dataclass(eq=False)
class Job:
    """One request."""

    chain: list[bytes]
    tokens: int
    answer: int
    read: int = 0
    cached: int = 0
    made: int = 0
    news: "asyncio.Queue[int]" = field(default_factory=asyncio.Queue)
    """How many tokens there are; the last one is `answer`."""


def job_of(prompt: bytes, answer: int) -> Job:
    before, chain = b"", []
    for begin in range(0, len(prompt) // BLOCK_BYTES * BLOCK_BYTES, BLOCK_BYTES):
        before = blake2b(prompt[begin : begin + BLOCK_BYTES], key=before, digest_size=8).digest()
        chain.append(before)
    return Job(chain, max(1, len(prompt) // TOKEN_BYTES), answer)


class Engine:
    """One replica."""

    def __init__(self, slowness: float) -> None:
        self.slowness = slowness
        self.queue: deque[Job] = deque()
        self.filling: Job | None = None
        self.decoding: list[Job] = []
        self.changed = asyncio.Event()
        self._blocks: OrderedDict[bytes, None] = OrderedDict()

    def add(self, job: Job) -> None:
        self.queue.append(job)
        self.changed.set()

    def drop(self, job: Job) -> None:
        """Its caller has left."""
        if job in self.queue:
            self.queue.remove(job)
        if job in self.decoding:
            self.decoding.remove(job)
        if self.filling is job:
            self.filling = None

    async def run(self) -> None:
        """Step by step; each lasts until when it would have ended, however late the loop wakes up."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            if not (self.queue or self.filling or self.decoding):
                self.changed.clear()
                await self.changed.wait()
                due_s = loop.time()
            due_s += self.step() * self.slowness
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            self.tell()

    def step(self) -> float:
        """What is done in it is there at its end. Its seconds."""
        decode_s = STEP_S + ROW_S * len(self.decoding) if self.decoding else 0.0
        for job in self.decoding:
            job.made += 1
        left = CHUNK_TOKENS if not self.decoding else max(16, int(WAIT_STEPS * decode_s * TOKENS_PER_S))
        left, read = min(left, CHUNK_TOKENS), 0
        while left > read and self._next():
            read += self._read(left - read)
        return decode_s + read / TOKENS_PER_S

    def _next(self) -> bool:
        if self.filling is None and self.queue and len(self.decoding) < SLOTS:
            self.filling = self.queue.popleft()
            self.filling.cached = self.filling.read = self._known(self.filling)
        return self.filling is not None

    def _read(self, most: int) -> int:
        job = self.filling
        if job is None:
            raise AssertionError("nothing to read")
        tokens = min(most, job.tokens - job.read)
        job.read += tokens
        if job.read == job.tokens:
            self._keep(job.chain)
            job.made = 1
            self.decoding.append(job)
            self.filling = None
        return tokens

    def _known(self, job: Job) -> int:
        count = 0
        while count < len(job.chain) and job.chain[count] in self._blocks:
            count += 1
        return min(count * BLOCK_BYTES // TOKEN_BYTES, job.tokens - 1)

    def _keep(self, chain: list[bytes]) -> None:
        for block in reversed(chain):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > CACHE_TOKENS * TOKEN_BYTES // BLOCK_BYTES:
            self._blocks.popitem(last=False)

    def tell(self) -> None:
        """Give everybody what is new for them, and end what is complete."""
        for job in list(self.decoding):
            if job.made == 1 or job.made % SAID_EVERY == 0 or job.made >= job.answer:
                job.news.put_nowait(min(job.made, job.answer))
            if job.made >= job.answer:
                self.decoding.remove(job)

    def load(self) -> pb.GetLoadResponse:
        held = sum(job.tokens + job.made for job in self.decoding)
        return pb.GetLoadResponse(
            running=len(self.decoding) + (self.filling is not None),
            waiting=len(self.queue),
            waiting_uncached_tokens=sum(job.tokens - self._known(job) for job in self.queue),
            reading_tokens=self.filling.tokens - self.filling.read if self.filling else 0,
            kv_usage=min(1.0, held / MEMORY_TOKENS),
            max_running=SLOTS,
            prefill_tokens_per_s=TOKENS_PER_S / self.slowness,
            prefix_cache_tokens=CACHE_TOKENS,
        )

    async def answer(self, job: Job) -> AsyncIterator[int]:
        """How many tokens are new, until all are there."""
        self.add(job)
        told = 0
        try:
            while told < job.answer:
                made = await job.news.get()
                yield made - told
                told = made
        finally:
            self.drop(job)


def prompt_of(messages: list[dict[str, str]]) -> bytes:
    return "\n".join(message["content"] for message in messages).encode()


class Worker(WorkerServiceServicer):
    """In our own protocol."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def GetModelInfo(self, request: Any, context: Any) -> Any:
        return pb.GetModelInfoResponse(model="mock", kind=pb.MODEL_KIND_GENERATE, context_tokens=32_000)

    async def GetLoad(self, request: Any, context: Any) -> Any:
        last, quiet = None, 0
        while True:
            load, quiet = self._engine.load(), quiet + 1
            if load != last or quiet * request.min_interval_ms >= request.heartbeat_ms:
                last, quiet = load, 0
                yield load
            await asyncio.sleep(request.min_interval_ms / 1000)

    async def Generate(self, request: Any, context: Any) -> Any:
        job = job_of(request.cache_salt + prompt_of(json.loads(request.messages_json)), request.max_tokens)
        async for tokens in self._engine.answer(job):
            yield pb.GenerateResponse(text=" tok" * tokens, token_ids=[1] * tokens)
        usage = pb.Usage(prompt_tokens=job.tokens, completion_tokens=job.answer, cached_tokens=job.cached)
        yield pb.GenerateResponse(finish_reason=pb.FINISH_REASON_LENGTH, usage=usage)


class OpenAi:
    """As an OpenAI server, for the routers that speak HTTP."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def other(self, request: web.Request) -> web.Response:
        """Health, models, whatever a router wants to know before it trusts a server."""
        models = [{"id": "mock", "object": "model", "owned_by": "bench"}]
        return web.json_response({"status": "ok", "model_id": "mock", "data": models})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        asked = json.loads(await request.read())
        # Some routers put OpenAI's newer name in the older one's place.
        answer = asked.get("max_completion_tokens") or asked["max_tokens"]
        job = job_of(prompt_of(asked["messages"]), answer)
        reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await reply.prepare(request)
        async for tokens in self._engine.answer(job):
            await reply.write(_event({"content": " tok" * tokens}, None))
        usage = {
            "prompt_tokens": job.tokens,
            "completion_tokens": job.answer,
            "total_tokens": job.tokens + job.answer,
            "prompt_tokens_details": {"cached_tokens": job.cached},
        }
        await reply.write(_event({}, "length") + _event(None, None, usage) + b"data: [DONE]\n\n")
        return reply


def _event(delta: dict[str, str] | None, finish: str | None, usage: dict[str, Any] | None = None) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "mock", "choices": choices}
    return b"data: " + json.dumps(body if usage is None else {**body, "usage": usage}).encode() + b"\n\n"


async def serve(replicas: list[dict[str, Any]]) -> None:
    """Until it is killed."""
    net = Net()
    async with asyncio.TaskGroup() as group:
        for replica in replicas:
            engine = Engine(replica["slowness"])
            group.create_task(engine.run())
            group.create_task(_serve_grpc(net, engine, replica["grpc"]))
            app, openai = web.Application(), OpenAi(engine)
            app.router.add_post("/v1/chat/completions", openai.chat)
            app.router.add_route("*", "/{anything:.*}", openai.other)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", replica["http"]).start()


async def _serve_grpc(net: Net, engine: Engine, port: int) -> None:
    async with net.serve(f"127.0.0.1:{port}", partial(add_WorkerServiceServicer_to_server, Worker(engine))):  # type: ignore[abstract]  # UNIMPLEMENTED is an answer
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
