"""Events one by one, or kept until the end: the same ones."""

import asyncio

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.providers import event_stream
from trunkline_gateway.providers.event_stream import EventReader, without
from trunkline_gateway.sse import SseParser
from trunkline_kit.errors import UpstreamError
from trunkline_kit.secrets import Secret

ENDS = (b"data: [DONE]",)
KEY = Secret("sk-secret")


class Protocol:
    def __init__(self):
        self.paused = []

    def pause_reading(self):
        self.paused.append(True)

    def resume_reading(self):
        self.paused.append(False)


class Reply:
    """What aiohttp gives, as far as it is used."""

    def __init__(self, *pieces):
        self._pieces = list(pieces)
        self.content = self
        self.connection = self
        self.protocol = Protocol()
        self.closed = False

    async def readany(self):
        piece = self._pieces.pop(0) if self._pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    def at_eof(self):
        return not self._pieces

    def close(self):
        self.closed = True


async def one_by_one(*pieces):
    reader, found = EventReader("up", Reply(*pieces), KEY, SseParser()), []
    while (datas := await reader.next()) is not None:
        found += datas
    return found


async def kept(*pieces):
    reader, counts = EventReader("up", Reply(*pieces), KEY, SseParser()), []
    while (count := await reader.more(0.0, ENDS)) is not None:
        counts.append(count)
    return reader.rest(), counts


@given(st.lists(st.sampled_from([b"one", b"two", "drié".encode()]), max_size=8), st.data())
def test_both_ways_of_reading_find_the_same_events(texts, data):
    raw = b"".join(b"data: %b\n\n" % text for text in texts)
    borders = sorted(data.draw(st.lists(st.integers(1, max(1, len(raw))), max_size=5, unique=True)))
    pieces = [piece for a, b in zip([0, *borders], [*borders, len(raw)], strict=True) if (piece := raw[a:b])]
    assert asyncio.run(kept(*pieces))[0] == asyncio.run(one_by_one(*pieces)) == texts


async def test_what_was_read_one_by_one_is_not_read_again():
    reader = EventReader(
        "up", Reply(b"data: 1\n\ndata: 2", b"\n\n", b"data: 3\n\ndata: [DONE]\n\n", b"never"), KEY, SseParser()
    )
    assert await reader.next() == [b"1"]
    assert [await reader.more(0.0, ENDS) for _ in range(3)] == [0, 2, None]
    assert reader.rest() == [b"2", b"3", b"[DONE]"]


async def test_the_end_inside_of_a_text_is_none():
    said = b'data: {"content":"data: [DONE]"}\n\n'
    events, counts = await kept(said, b"data: more\n\n")
    assert events == [said[6:-2], b"more"]
    assert len(counts) == 3


async def test_half_an_event_at_a_cut_is_none():
    reader = EventReader("up", Reply(b'data: 1\n\ndata: {"ha', aiohttp.ClientPayloadError("cut")), KEY, SseParser())
    assert await reader.more(0.0, ENDS) == 2
    with pytest.raises(UpstreamError, match="cut off"):
        await reader.more(0.0, ENDS)
    assert reader.rest() == [b"1"]


async def test_an_event_that_ends_with_the_stream_counts():
    assert (await kept(b"data: 1\n\ndata: 2"))[0] == [b"1", b"2"]


async def test_a_pause_stops_the_socket_meanwhile():
    reply = Reply(b"data: 1\n\n")
    reader = EventReader("up", reply, KEY, SseParser())
    await reader.more(0.001, ENDS)
    assert reply.protocol.paused == [True, False]
    reply.connection = None
    await reader.more(0.001, ENDS)


async def test_an_answer_without_end_is_not_kept(monkeypatch):
    monkeypatch.setattr(event_stream, "PIECES_BYTES_MAX", 10)
    reader = EventReader("up", Reply(b"data: 1\n\n", b"data: 2\n\n"), KEY, SseParser())
    await reader.more(0.0, ENDS)
    with pytest.raises(UpstreamError, match="more than 10 bytes"):
        await reader.more(0.0, ENDS)


async def test_a_connection_is_given_back_or_cut():
    reply = Reply(b"rest")
    reader = EventReader("up", reply, KEY, SseParser())
    await reader.release()
    assert not reply.closed
    reader.cut()
    assert reply.closed


def test_our_key_never_comes_back():
    assert b"sk-secret" not in without(KEY, b"wrong key sk-secret")
    assert EventReader("up", Reply(), KEY, SseParser()).without_key(b"sk-secret!") != b"sk-secret!"


async def test_an_event_without_end_is_not_kept(monkeypatch):
    monkeypatch.setattr(event_stream, "EVENT_BYTES_MAX", 30)
    short = EventReader("up", Reply(*[b"data: a short one\n\n"] * 5), KEY, SseParser())
    assert [await short.more(0.0, ENDS) for _ in range(5)] == [1, 2, 3, 4, 5]
    long = EventReader("up", Reply(b"data: a long one", *[b"goes on "] * 5), KEY, SseParser())
    assert [await long.more(0.0, ENDS) for _ in range(2)] == [1, 1]
    with pytest.raises(UpstreamError, match="an event of more than 30 bytes"):
        await long.more(0.0, ENDS)


async def test_who_sends_a_lot_at_once_is_not_waited_for():
    reply = Reply(b"data: 1\n\n" * event_stream.GULP_BYTES, b"data: 2\n\n", b"data: 3\n\n")
    reader = EventReader("up", reply, KEY, SseParser())
    await reader.more(0.0, ENDS)
    await reader.more(0.001, ENDS)
    assert reply.protocol.paused == []
    await reader.more(0.001, ENDS)
    assert reply.protocol.paused == [True, False]
