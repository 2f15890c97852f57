"""What providers play in the scenarios of the fault suite."""

import gzip
from collections.abc import Callable, Iterable
from typing import TypedDict

import msgspec

from trunkline_testkit.fault_outcomes import LIMIT_BYTES, Outcome, PlayOf
from trunkline_testkit.faulty import Pause, Play, Send, Step
from trunkline_testkit.provider_words import END, OPENAI, Words, body, chunk, chunked, head, told

Events = Callable[[Words], tuple[bytes, ...]]


def refusal(status: int, kind: str, code: str = "", message: str = "in its own words", *headers: str) -> PlayOf:
    def play(words: Words) -> Play:
        data = msgspec.json.encode(words.refusal(kind, code, message))
        return body(data, status, "application/json", *headers)

    return play


class Both(TypedDict):
    """The same whatever was asked for."""

    whole: tuple[PlayOf, Outcome]
    stream: tuple[PlayOf, Outcome]


def both(play: PlayOf, outcome: Outcome) -> Both:
    return {"whole": (play, outcome), "stream": (play, outcome)}


def events(of: Events, *, ends: bool = True) -> PlayOf:
    return lambda words: told(of(words), ends=ends)


def opening(words: Words) -> tuple[bytes, ...]:
    return (words.opening,)


def half(words: Words) -> tuple[bytes, ...]:
    return (words.opening, words.tokens[0])


def then(play: PlayOf, *more: Step) -> PlayOf:
    return lambda words: (*play(words), *more)


def cut_body(words: Words) -> Play:
    data = words.answer()
    return (Send(head(length=len(data)) + data[:40]),)


def always(*steps: Step) -> PlayOf:
    return lambda _: steps


LATER_S = 0.1
"""Enough for what was sent before to be on its way."""
HTML = b"<html><body>Bad gateway, please hold the line</body></html>"
PING = chunk(b": ping\n\n")
BEGUN = events(opening, ends=False)
HALFWAY = events(half, ends=False)


_COMPRESSED = ("content-encoding: gzip",)


def unasked_gzip(words: Words) -> Play:
    return body(gzip.compress(words.answer()), 200, "application/json", *_COMPRESSED)


def unasked_gzip_stream(words: Words) -> Play:
    return (
        Send(chunked("text/event-stream", *_COMPRESSED)),
        Send(chunk(gzip.compress(b"".join(words.stream)))),
        Send(END),
    )


def huge(words: Words) -> Play:
    data = words.answer()
    return (Send(head(length=len(data) + 100 * LIMIT_BYTES)), Send(b" " * LIMIT_BYTES, times=100), Send(data))


def huge_in_chunks(words: Words) -> Play:
    return (Send(chunked("application/json")), Send(chunk(b" " * LIMIT_BYTES), times=100), Send(chunk(words.answer())))


def huge_event(words: Words) -> Play:
    return (*HALFWAY(words), Send(chunk(b"data: ")), Send(chunk(b"x" * LIMIT_BYTES), times=100), Send(END))


def later(words: Words, more: Iterable[bytes], *, ends: bool = True) -> Play:
    """The first token, and these events some time after it: nobody may take them for one with it."""
    return (
        *HALFWAY(words),
        Pause(LATER_S),
        *(Send(chunk(event)) for event in more if event),
        *((Send(END),) if ends else ()),
    )


def nonsense(times: int) -> PlayOf:
    return lambda words: later(words, (*(b"data: {nonsense\n\n",) * times, *words.stream[2:]))


def otherwise_cut(words: Words) -> tuple[bytes, ...]:
    """A byte-order mark, CRLF, comments, and JSON over several lines of data."""
    first, *rest = (event.replace(b",", b",\ndata: ", 1) if b"data: {" in event else event for event in words.stream)
    return (b"\xef\xbb\xbf: hello\r\n\r\n", *(event.replace(b"\n", b"\r\n") for event in (first, *rest)))


def absurd(words: Words) -> bytes:
    """Less than nothing read, more than anybody can write."""
    whole = words.whole("real", used=True)
    names = ("prompt_tokens", "completion_tokens") if words is OPENAI else ("input_tokens", "output_tokens")
    return msgspec.json.encode({**whole, "usage": {names[0]: -5, names[1]: 10**15}})
