"""How answers and errors look in each dialect over HTTP: what is around the JSON, not the JSON itself."""

from collections.abc import Callable

import msgspec

from trunkline_gateway.dialects import messages_answers, messages_stream
from trunkline_gateway.dialects.frames import Frame, wire
from trunkline_gateway.http_errors import Problem, in_stream, problem
from trunkline_gateway.sse import DONE, PING, event, events
from trunkline_gateway.surface import Surface
from trunkline_kit.errors import TrunklineError

MESSAGES_PATH = "/v1/messages"


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """Of one dialect."""

    joined: Callable[[list[bytes]], bytes]
    """Chunks as one write."""
    end: bytes
    """What says that a stream is complete, beside its own last event."""
    broken: Callable[[TrunklineError], bytes]
    """The event that ends a stream which is not."""
    ping: bytes
    """Keeps a silent stream open; every SDK of the dialect passes it over."""
    problem: Callable[[TrunklineError], Problem]
    """An error in place of an answer."""
    id_header: bytes | None = None
    """A second name of `x-request-id`."""


def _broken_message(error: TrunklineError) -> bytes:
    return wire([Frame(messages_answers.encode_error(error), "error")])


def _messages_problem(error: TrunklineError) -> Problem:
    """The same headers as in every dialect, and Anthropic's status and body."""
    found = problem(error)
    body = messages_answers.encode_error(error)
    headers = [(name, value) for name, value in found.headers if name != b"content-length"]
    headers.append((b"content-length", b"%d" % len(body)))
    return Problem(messages_answers.error_status(error), headers, body)


OPENAI = Manner(
    joined=events,
    end=event(DONE),
    broken=lambda error: event(in_stream(error)),
    ping=PING,
    problem=problem,
)
ANTHROPIC = Manner(
    joined=b"".join,
    end=b"",
    broken=_broken_message,
    ping=wire([messages_stream.PING]),
    problem=_messages_problem,
    id_header=b"request-id",
)


def manner_of(surface: Surface) -> Manner:
    """How answers of this surface look."""
    return ANTHROPIC if surface is Surface.MESSAGES else OPENAI


def manner_at(path: str) -> Manner:
    """How errors at this path look, whoever makes them."""
    return ANTHROPIC if path == MESSAGES_PATH or path.startswith(MESSAGES_PATH + "/") else OPENAI
