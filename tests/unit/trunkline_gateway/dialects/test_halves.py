"""A character cut anywhere, in JSON's escapes or in UTF-8, arrives whole."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects import anthropic_answers, openai_chat_answers
from trunkline_gateway.dialects.events import Event, TextDelta, is_meaningful
from trunkline_gateway.dialects.halves import Halves

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


def openai(text: bytes) -> bytes:
    return b'{"id":"i","choices":[{"index":0,"delta":{"content":"%b"}}]}' % text


def anthropic(text: bytes) -> bytes:
    return b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%b"}}' % text


def escaped(text):
    """Each UTF-16 unit by itself: what may be cut between."""
    units = []
    for character in text:
        pair = json.dumps(character)[1:-1]
        units += [pair[:6], pair[6:]] if len(pair) == 12 else [pair]
    return [unit.encode() for unit in units]


def in_utf8(text):
    """Each byte by itself, but for what JSON escapes."""
    found = []
    for character in text:
        quoted = json.dumps(character, ensure_ascii=False)[1:-1].encode()
        found += [quoted] if quoted.isascii() else [bytes([unit]) for unit in quoted]
    return found


def said(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize("write", [openai, anthropic])
@pytest.mark.parametrize("split", [escaped, in_utf8])
@given(text=texts, data=st.data())
def test_a_text_cut_anywhere(write, split, text, data):
    units = split(text)
    places = sorted(data.draw(st.sets(st.integers(1, len(units)), max_size=5)) | {len(units)})
    pieces = [b"".join(units[a:b]) for a, b in zip([0, *places], places, strict=False)]
    decoder = openai_chat_answers.StreamDecoder() if write is openai else anthropic_answers.StreamDecoder()
    events = [event for piece in pieces for event in decoder.feed(write(piece))]
    assert said(events) == text


def test_halves_that_stay_alone():
    halves = Halves()
    assert halves.mended(b'{"a":"x\\ud83d"}') == b'{"a":"x"}'
    assert halves.mended(b'{"a":"y"}') == b'{"a":"y"}'
    assert halves.mended(b'{"a":"\\ude00"}') == b'{"a":"\\ufffd"}'
    assert halves.mended(b'{"a":"\\ud83d\\ude00\\ud83dx"}') == b'{"a":"\\ud83d\\ude00\\ufffdx"}'
    assert halves.mended(b'{"a":"x\xff"}') == '{"a":"x\ufffd"}'.encode()
    assert Halves().mended(b'{"a":"\\\\ud83d"}') == b'{"a":"\\\\ud83d"}'


def test_what_is_meaningful():
    assert is_meaningful(TextDelta("x"))
