"""An OpenAI-compatible provider that does what a test tells it: answers, streams, breaks, stalls; and remembers."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec
from aiohttp import web

CREATED_S = 1_700_000_000
REPLY_ID = "chatcmpl-fake"

Headers = tuple[tuple[str, str], ...]

_JSON: Headers = (("content-type", "application/json"),)
_SSE: Headers = (("content-type", "text/event-stream; charset=utf-8"),)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """How one request is answered."""

    status: int = 200
    headers: Headers = _JSON
    chunks: tuple[bytes, ...] = ()
    """Written apart, each flushed."""
    ending: Literal["end", "cut", "stall"] = "end"
    """After the chunks: finish, close the connection in the middle of the body, or say nothing until `release`."""
    hold_headers: bool = False
    """Say nothing at all until `release`."""


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


def usage(prompt: int, completion: int) -> dict[str, int]:
    """The `usage` object."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def chat_reply(text: str, *, model: str = "fake", prompt_tokens: int = 3, finish: str = "stop") -> Reply:
    """A whole chat completion."""
    body = {
        "id": REPLY_ID,
        "object": "chat.completion",
        "created": CREATED_S,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": usage(prompt_tokens, len(text.split())),
    }
    return Reply(chunks=(msgspec.json.encode(body),))


def chat_stream(
    pieces: Iterable[str], *, model: str = "fake", prompt_tokens: int = 3, finish: str = "stop", done: bool = True
) -> Reply:
    """A streamed chat completion: role, a chunk for each piece, finish reason, usage, and `[DONE]` if `done`."""
    texts = list(pieces)
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": text}, None) for text in texts]
    deltas.append(({}, finish))
    events = [_chunk(model, [{"index": 0, "delta": delta, "finish_reason": reason}], None) for delta, reason in deltas]
    events.append(_chunk(model, [], usage(prompt_tokens, len(texts))))
    return Reply(headers=_SSE, chunks=tuple(events) + ((b"data: [DONE]\n\n",) if done else ()))


def _chunk(model: str, choices: list[dict[str, Any]], used: dict[str, int] | None) -> bytes:
    body = {
        "id": REPLY_ID,
        "object": "chat.completion.chunk",
        "created": CREATED_S,
        "model": model,
        "choices": choices,
        "usage": used,
    }
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def error_reply(status: int, message: str = "no", *, retry_after_s: int | None = None, code: str = "fake") -> Reply:
    """An error in OpenAI's shape."""
    headers = _JSON if retry_after_s is None else (*_JSON, ("retry-after", str(retry_after_s)))
    body = {"error": {"message": message, "type": "fake_error", "param": None, "code": code}}
    return Reply(status=status, headers=headers, chunks=(msgspec.json.encode(body),))


def resplit(reply: Reply, chunks: Sequence[bytes]) -> Reply:
    """The same bytes, cut elsewhere: a reader must not care where a network cuts."""
    if b"".join(chunks) != b"".join(reply.chunks):
        raise ValueError("resplit may move borders only")
    return msgspec.structs.replace(reply, chunks=tuple(chunks))


class FakeUpstream:
    """What `open_fake_upstream` yields."""

    def __init__(self, otherwise: Callable[[Received], Reply] | None = None) -> None:
        self._otherwise = otherwise or _by_itself
        self.base_url = ""
        """With `/v1`, as SDKs and our config want it."""
        self.requests: list[Received] = []
        self.arrived = asyncio.Condition()
        """Notified at each request."""
        self.disconnected = asyncio.Event()
        """A client left before its answer was complete."""
        self._queue: deque[Reply] = deque()
        self._released = asyncio.Event()

    def replies(self, *replies: Reply) -> None:
        """Answer the next requests so, in order. Without any, chat requests are answered with their last message."""
        self._queue.extend(replies)

    def release(self) -> None:
        """Let everything that is held or stalled go on."""
        self._released.set()

    @property
    def unused(self) -> int:
        """Replies that nobody asked for."""
        return len(self._queue)

    async def wait_for_requests(self, count: int) -> None:
        """Return when `count` requests have come in all."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        received = Received(
            method=request.method,
            path=request.path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        self.requests.append(received)
        async with self.arrived:
            self.arrived.notify_all()
        reply = self._queue.popleft() if self._queue else self._otherwise(received)
        try:
            return await self._answer(request, reply)
        except (asyncio.CancelledError, ConnectionError):
            self.disconnected.set()
            raise

    async def _answer(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        if reply.hold_headers:
            await self._released.wait()
        response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
        if reply.ending == "end" and len(reply.chunks) == 1:
            response.content_length = len(reply.chunks[0])
        await response.prepare(request)
        for chunk in reply.chunks:
            await response.write(chunk)
        if reply.ending == "cut" and request.transport is not None:
            request.transport.close()
            return response
        if reply.ending == "stall":
            await self._released.wait()
        await response.write_eof()
        return response


def _by_itself(received: Received) -> Reply:
    if not received.path.endswith("/chat/completions"):
        return error_reply(404, f"the fake upstream has no {received.path}")
    body = received.json()
    text = str(body["messages"][-1]["content"])
    if not body.get("stream"):
        return chat_reply(text, model=body["model"])
    return chat_stream(re.findall(r"\S+\s*", text), model=body["model"])


@asynccontextmanager
async def open_fake_upstream(otherwise: Callable[[Received], Reply] | None = None) -> AsyncIterator[FakeUpstream]:
    """Serve on a free port until the block ends. Raises AssertionError for queued replies that nobody asked for.

    `otherwise` answers requests that nothing is queued for, instead of repeating their last message.
    """
    upstream = FakeUpstream(otherwise)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", upstream.handle)
    # Handlers learn of a client that left, as providers do.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        upstream.base_url = f"http://{host}:{port}/v1"
        yield upstream
        if upstream.unused:
            raise AssertionError(f"{upstream.unused} replies of the fake upstream were never asked for")
    finally:
        upstream.release()
        await runner.cleanup()
