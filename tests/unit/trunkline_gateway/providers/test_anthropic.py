"""Anthropic's own events: passed on as they came, looked at for what they mean. Over sockets: the integration tests."""

import json

import pytest

from trunkline_gateway.providers.anthropic import LAST_WORD, NativeStream, name_of


def data(**event):
    return json.dumps(event).encode()


START = data(type="message_start", message={"id": "m", "model": "c", "usage": {"input_tokens": 4, "output_tokens": 1}})
DELTA = data(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "x"})
END = data(type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3})


def test_events_keep_their_bytes_and_get_their_names():
    [chunk] = NativeStream().feed([DELTA])
    assert chunk.data == b"event: content_block_delta\ndata: " + DELTA + b"\n\n"
    assert NativeStream().feed([data(type="of_the_future", x=1)])[0].data.startswith(b"event: of_the_future\n")


def test_what_they_mean():
    stream = NativeStream()
    start, delta, end = stream.feed([START, DELTA, END])
    assert (start.meaningful, delta.meaningful) == (False, True)
    assert end.finished == (0,)
    used = [chunk.usage for chunk in (start, delta, end, *stream.close()) if chunk.usage]
    assert (used[-1].input_tokens, used[-1].output_tokens) == (4, 3)


def test_an_error_is_one():
    [chunk] = NativeStream().feed([data(type="error", error={"type": "overloaded_error", "message": "full"})])
    assert (chunk.data, json.loads(chunk.error)["message"]) == (b"", "full")


@pytest.mark.parametrize("odd", [b"", b"[", b'{"type":1}', b"\xff", b"[]"])
def test_data_of_no_dialect_have_no_name(odd):
    assert name_of(odd) == ""


def test_nonsense_is_none_of_the_answer():
    [chunk] = NativeStream().feed([b'{"type":"content_block_delta","ind'])
    assert (chunk.data, chunk.malformed) == (b"", True)


@pytest.mark.parametrize("said", [[START, DELTA, END], [START, DELTA, END, data(type="ping")]])
def test_a_complete_answer_gets_the_last_word_that_its_provider_left_out(said):
    stream = NativeStream()
    stream.feed(said)
    assert stream.close()[-1] is LAST_WORD
    assert LAST_WORD.data == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


@pytest.mark.parametrize("said", [[START, DELTA], [START, DELTA, END, data(type="message_stop")]])
def test_one_that_is_not_complete_or_has_said_it_does_not(said):
    stream = NativeStream()
    stream.feed(said)
    assert LAST_WORD not in stream.close()
