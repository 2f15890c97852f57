"""Events come out the same, however the bytes are cut and whatever ends their lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.sse import SseParser, event, events
from trunkline_kit.errors import UpstreamError
from trunkline_testkit.strategies import byte_splits, sse_bytes, sse_payloads


def parsed(pieces):
    parser = SseParser()
    found = [data for piece in pieces for data in parser.feed(piece)]
    return found + parser.close()


@given(st.data(), sse_payloads(), st.sampled_from(["\n", "\r\n", "\r"]))
def test_every_cutting_gives_the_payloads(data, payloads, newline):
    raw = sse_bytes(payloads, newline)
    expected = [payload.encode() for payload in payloads if payload]
    assert parsed([raw]) == expected
    assert parsed(data.draw(byte_splits(raw))) == expected


@given(
    st.data(),
    st.lists(st.sampled_from([b"\r", b"\n", b"data: x", b"data", b": c", b"id: 1", b"\xef\xbb\xbf", b"\xff"])),
)
def test_every_cutting_of_anything_gives_the_same(data, parts):
    raw = b"".join(parts)
    assert parsed(data.draw(byte_splits(raw))) == parsed([raw] if raw else [])


def test_events_come_as_soon_as_they_are_complete():
    parser = SseParser()
    assert parser.feed(b"data: a\r\n\r") == [b"a"], "a CR ends a line at once"
    assert parser.feed(b"\ndata: b\n") == []
    assert parser.feed(b"\n") == [b"b"]


def test_comments_names_and_ids_are_dropped_and_lines_joined():
    raw = b"\xef\xbb\xbf: hi\n\nevent: x\nid: 7\ndata: {\ndata:  1}\n\n\n\ndata\n\ndata:y\n\n"
    assert parsed([raw]) == [b"{\n 1}", b"y"]


def test_the_end_of_the_stream_ends_an_event():
    assert parsed([b"data: [DONE]"]) == [b"[DONE]"]


def test_an_endless_event_is_refused():
    parser = SseParser(limit_bytes=100)
    parser.feed(b"data: " + b"x" * 90)
    with pytest.raises(UpstreamError, match="more than 100 bytes"):
        parser.feed(b"x" * 90)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)))
def test_what_is_written_can_be_read(texts):
    datas = [text.encode() for text in texts]
    assert parsed([events(datas)]) == datas


def test_newlines_inside_become_blanks():
    assert event(b'{\n"a":1}') == b'data: { "a":1}\n\n'


@given(st.integers(1, 40), st.binary(min_size=1, max_size=200).filter(lambda data: not set(data) & set(b"\r\n")))
def test_a_long_event_comes_whole_however_small_its_pieces(size, text):
    data = b"data: x" + text + b"\n\ndata: next\n\n"
    assert parsed([data[at : at + size] for at in range(0, len(data), size)]) == [b"x" + text, b"next"]
