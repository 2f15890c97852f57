"""The two ends of a relay benchmark, as cheap as Python makes them: a provider that answers at once, and a load.

`python _http.py PORT` runs the provider: any POST gets a chat completion, or 50 chunks of one if it asks for a stream;
at /v1/messages a stream of 50 of Anthropic's events.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

CHUNKS = 50
_USAGE = {"prompt_tokens": 24, "completion_tokens": CHUNKS, "total_tokens": 24 + CHUNKS}
_HEAD = {"id": "chatcmpl-bench", "created": 1, "model": "mock"}


def _chunk(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}
    data = b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def _whole() -> bytes:
    message = {"role": "assistant", "content": "A gateway is one door in front of many rooms."}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = json.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


WHOLE = _whole()
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM = [
    _chunk({"role": "assistant", "content": ""}, None),
    *(_chunk({"content": f" word{index}"}, None) for index in range(CHUNKS - 2)),
    _chunk({}, "stop"),
]
STREAM_END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def _message_event(name: str, **body: object) -> bytes:
    data = json.dumps({"type": name, **body}, separators=(",", ":")).encode()
    event = b"event: %b\ndata: %b\n\n" % (name.encode(), data)
    return b"%x\r\n%b\r\n" % (len(event), event)


def _message_stream() -> list[bytes]:
    usage = {"input_tokens": 24, "output_tokens": CHUNKS}
    message = {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": "mock",
        "content": [],
        "usage": usage,
    }
    texts = ({"type": "text_delta", "text": f" word{index}"} for index in range(CHUNKS - 5))
    return [
        _message_event("message_start", message={**message, "stop_reason": None, "stop_sequence": None}),
        _message_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(_message_event("content_block_delta", index=0, delta=delta) for delta in texts),
        _message_event("content_block_stop", index=0),
        _message_event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=usage),
        _message_event("message_stop"),
    ]


MESSAGE_STREAM = _message_stream()


class Provider(asyncio.Protocol):
    """Reads a request, writes an answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, separator, body = self._data.partition(b"\r\n\r\n")
        if not separator or len(body) < _length(head):
            return
        self._data = b""
        write = self._transport.write  # type: ignore[attr-defined]
        if b'"stream":true' not in body.replace(b" ", b""):
            write(WHOLE)
            return
        of_messages = head.startswith(b"POST /v1/messages ")
        write(STREAM_HEAD)
        for chunk in MESSAGE_STREAM if of_messages else STREAM:
            write(chunk)
        write(b"0\r\n\r\n" if of_messages else STREAM_END)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


@dataclass
class Measured:
    """What a load saw."""

    took_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    errors: int = 0

    def quantile_ms(self, q: float) -> float:
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1000 if ordered else 0.0


class Client(asyncio.Protocol):
    """One connection with one request at a time on it, again and again until the time is up."""

    def __init__(self, request: bytes, until_s: float, seen: Measured) -> None:
        self._request = request
        self._until_s = until_s
        self._seen = seen
        self._buffer = bytearray()
        self.finished = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._buffer.clear()
        self._began_s = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._complete():
            return
        now_s = time.perf_counter()
        if self._buffer.startswith(b"HTTP/1.1 200") and b'"error":{' not in self._buffer:
            self._seen.latencies_s.append(now_s - self._began_s)
        else:
            self._seen.errors += 1
        if now_s < self._until_s:
            self._send()
        elif not self.finished.done():
            self.finished.set_result(None)

    def _complete(self) -> bool:
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return False
        head = bytes(self._buffer[:head_end])
        if b"transfer-encoding: chunked" in head.lower():
            return self._buffer.endswith(b"0\r\n\r\n")
        return len(self._buffer) >= head_end + 4 + _length(head)

    def connection_lost(self, _: Exception | None) -> None:
        if not self.finished.done():
            self._seen.errors += 1
            self.finished.set_result(None)


async def load(port: int, path: str, key: str, body: bytes, *, connections: int, seconds: float) -> Measured:
    """Closed loop over loopback: `connections` requests at a time for `seconds`."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    loop, seen = asyncio.get_running_loop(), Measured()
    began_s = time.perf_counter()
    clients = [
        await loop.create_connection(lambda: Client(head.encode() + body, began_s + seconds, seen), "127.0.0.1", port)
        for _ in range(connections)
    ]
    for transport, client in clients:
        await client.finished
        transport.close()
    seen.took_s = time.perf_counter() - began_s
    return seen


async def serve(port: int) -> None:
    """The provider, until killed."""
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
