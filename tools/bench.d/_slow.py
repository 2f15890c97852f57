"""The two ends of a benchmark of slow streams, as cheap as Python makes them.

`python _slow.py provider PORT EVENTS` answers any POST with a stream of EVENTS chunks, 20 a second, each with the time
at which it was sent. `python _slow.py load PORT KEY STREAMS RAMP_S` reads STREAMS of them at once, begun over RAMP_S
seconds, and prints as JSON how long the chunks were under way. One clock: both are on one machine.
"""

import asyncio
import json
import re
import sys
import time
from array import array

import uvloop

PER_S = 20
TICK_S = 0.001
PATIENCE_S = 120.0
SLOTS = int(1 / PER_S / TICK_S)
"""Streams are spread over the ticks of a period, so that the provider sends evenly and not in bursts."""
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_BODY = (
    b'{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"mock","choices":[{"index":0,%b}]}'
)
_CHUNK = _BODY % b'"delta":{"content":" t%d"},"logprobs":null,"finish_reason":null'
_FINISH = _BODY % b'"delta":{},"logprobs":null,"finish_reason":"stop"'
_ASK = json.dumps(
    {"model": "mock", "stream": True, "messages": [{"role": "user", "content": "Write slowly about gateways."}]}
).encode()
_SENT = re.compile(rb'" t(\d+)"')


def _event(data: bytes) -> bytes:
    """As one chunk of a chunked body."""
    return b"%x\r\ndata: %b\n\n\r\n" % (len(data) + 8, data)


class Wheel:
    """Sends to each stream once a period."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._slots: list[dict[asyncio.WriteTransport, int]] = [{} for _ in range(SLOTS)]
        self._next = 0
        self._loop = asyncio.get_running_loop()
        self._due_s = self._loop.time()
        self._turn(0)

    def add(self, transport: asyncio.WriteTransport) -> None:
        """Begin a stream."""
        self._next = (self._next + 1) % SLOTS
        self._slots[self._next][transport] = self._events

    def drop(self, transport: asyncio.WriteTransport) -> None:
        for slot in self._slots:
            slot.pop(transport, None)

    def _turn(self, number: int) -> None:
        """One tick. A late one is made up for by the next, which then come at once."""
        slot = self._slots[number]
        for transport, left in list(slot.items()):
            if left:
                transport.write(_event(_CHUNK % time.monotonic_ns()))
                slot[transport] = left - 1
            else:
                transport.write(_event(_FINISH) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
                del slot[transport]
        self._due_s += TICK_S
        self._loop.call_at(self._due_s, self._turn, (number + 1) % SLOTS)


class Provider(asyncio.Protocol):
    """Begins a stream for each request. Reads heads only: a request of this benchmark comes in one piece or two."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as loops give it
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"POST "):
            self._transport.write(_HEAD)
            self._wheel.add(self._transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._wheel.drop(self._transport)


class Reader(asyncio.Protocol):
    """Asks for one stream and reads it to its end."""

    def __init__(self, request: bytes, lags_s: "array[float]") -> None:
        self._request = request
        self._lags_s = lags_s
        self._rest = b""
        self.seen = 0
        self.finished: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether the stream came to its proper end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as loops give it
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        data = self._rest + data
        end = data.rfind(b"\n\n")
        self._rest = data[end + 2 :]
        for sent in _SENT.findall(data[: end + 2]):
            self.seen += 1
            self._lags_s.append((now_ns - int(sent)) * 1e-9)
        if b"data: [DONE]" in data:
            self._end(complete=True)

    def connection_lost(self, _: Exception | None) -> None:
        self._end(complete=False)

    def _end(self, *, complete: bool) -> None:
        if not self.finished.done():
            self.finished.set_result(complete)
            self._transport.close()


async def provide(port: int, events: int) -> None:
    """Until killed."""
    loop = asyncio.get_running_loop()
    wheel = Wheel(events)
    server = await loop.create_server(lambda: Provider(wheel), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


async def load(port: int, key: str, streams: int, ramp_s: float) -> dict[str, float]:
    """Every stream once."""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(_ASK)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    lags_s: array[float] = array("d")
    readers: list[Reader] = []
    began_s = time.monotonic()
    for number in range(streams):
        await asyncio.sleep(max(0.0, began_s + ramp_s * number / streams - time.monotonic()))
        _, reader = await loop.create_connection(lambda: Reader(head.encode() + _ASK, lags_s), "127.0.0.1", port)
        readers.append(reader)
    async with asyncio.timeout(PATIENCE_S):
        complete = [await reader.finished for reader in readers]
    ordered = sorted(lags_s) or [0.0]
    return {
        "took_s": round(time.monotonic() - began_s, 1),
        "complete": sum(complete),
        "events": len(lags_s),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
        "worst_ms": round(ordered[-1] * 1000, 2),
    }


def main(role: str, port: str, *more: str) -> None:
    if role == "provider":
        uvloop.run(provide(int(port), int(more[0])))
    else:
        print(json.dumps(uvloop.run(load(int(port), more[0], int(more[1]), float(more[2])))))


if __name__ == "__main__":
    main(*sys.argv[1:])
