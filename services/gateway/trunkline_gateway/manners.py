"""How answers and errors look in each dialect over HTTP: what is around the JSON, not the JSON itself."""

from collections.abc import Callable

import msgspec

from trunkline_gateway.dialects import messages_answers, messages_stream
from trunkline_gateway.dialects.frames import Frame, wire
from trunkline_gateway.http_errors import Problem, in_stream, problem
from trunkline_gateway.rerank_types import RerankError
from trunkline_gateway.responses.ending import Telling
from trunkline_gateway.sse import DONE, PING, event, events
from trunkline_gateway.surface import Surface
from trunkline_kit.errors import TrunklineError

MESSAGES_PATH = "/v1/messages"
RERANK_PATHS = ("/v1/rerank", "/v2/rerank")


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
    return _said_otherwise(problem(error), messages_answers.error_status(error), messages_answers.encode_error(error))


def _rerank_problem(error: TrunklineError) -> Problem:
    body = RerankError(message=error.message, code=error.reason, param=error.param)
    return _said_otherwise(problem(error), error.http_status, msgspec.json.encode(body))


def _said_otherwise(found: Problem, status: int, body: bytes) -> Problem:
    headers = [(name, value) for name, value in found.headers if name != b"content-length"]
    headers.append((b"content-length", b"%d" % len(body)))
    return Problem(status, headers, body)


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

COHERE = msgspec.structs.replace(OPENAI, problem=_rerank_problem)
"""Of reranking, which has no streams."""
_MANNERS = {Surface.MESSAGES: ANTHROPIC, Surface.TOKEN_COUNT: ANTHROPIC, Surface.RERANK: COHERE}


def manner_of(surface: Surface) -> Manner:
    """How one answer of this surface looks. Of Responses each has its own, which counts its events."""
    if surface is Surface.RESPONSES:
        telling = Telling()
        return Manner(joined=telling.joined, end=b"", broken=telling.broken, ping=PING, problem=problem)
    return _MANNERS.get(surface, OPENAI)


def manner_at(path: str) -> Manner:
    """How errors at this path look, whoever makes them."""
    if path in RERANK_PATHS:
        return COHERE
    return ANTHROPIC if path == MESSAGES_PATH or path.startswith(MESSAGES_PATH + "/") else OPENAI
