"""One attempt as a row, and rows as bytes. The order of fields is the wire format: new ones go to the end, optional."""

from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

ROWS_PER_BATCH_MAX = 256
TEXT_CHARS_MAX = 256
TAGS_MAX = 16

OK = "ok"
CANCELLED = "client_cancelled"
BROKEN = "stream_broken"
REVOKED = "key_revoked"
"""Its key was revoked while it was under way."""
CACHED = "cached"
LOST = "lost"
"""The gateway died before it could say how the attempt ended."""
ERROR_PREFIX = "error:"
HEDGE_LOST = "hedge_lost"
"""Another attempt at the same request was faster."""

REPORTED = "reported"
ESTIMATED = "estimated"
"""Input by its size; output by the pieces of a stream that were passed on."""
NOTHING = "none"
"""The provider used nothing that it would charge for."""

RETRY = "retry"
"""The same place again."""
FAILOVER = "failover"
"""Another deployment of the same model."""
FALLBACK = "fallback"
"""Another model."""
HEDGE = "hedge"
"""The one before it was slow, and went on."""


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Durations and moments are microseconds, money nano-dollars."""

    attempt_id: UUID
    """UUIDv7; the same row may be delivered any number of times."""
    started_us: int
    """Since the epoch."""
    request_id: str
    attempt: int
    """From 1; 0 for an answer from the cache."""
    org: str
    team: str
    key_id: str
    surface: str
    model_asked: str
    model: str
    provider: str
    provider_model: str
    route: str
    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    """Reasoning included."""
    reasoning_tokens: int = 0
    usage_source: str = NOTHING
    price_version: str = ""
    cost_nusd: int = 0
    unpriced: bool = False
    latency_us: int = 0
    ttft_us: int | None = None
    """From the attempt's start to its first meaningful event; None for whole answers and for failures."""
    outcome: str = OK
    """ok, error:<reason>, client_cancelled, stream_broken, key_revoked, hedge_lost, cached, lost."""
    streamed: bool = False
    cache: str = ""
    guardrails: str = ""
    trace_id: str = ""
    project: str = ""
    end_user: str = ""
    tags: tuple[str, ...] = ()
    """Of the key and of the request."""
    reason: str = ""
    """Why it went where it went: `retry`, `failover`, `fallback` or `hedge` after another one; empty for the first."""
    audio_input_tokens: int = 0
    """This and the next three are parts of the uncached input and of the output, as reasoning is."""
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    search_units: int = 0
    """Of reranking, where the provider counts them."""


_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_decode = msgspec.msgpack.Decoder(list[AttemptRow]).decode


def encode_rows(rows: Sequence[AttemptRow]) -> bytes:
    """A batch as MessagePack."""
    return _encode(rows)


def decode_rows(payload: bytes) -> list[AttemptRow]:
    """Raises msgspec.DecodeError for anything that is not a batch."""
    return _decode(payload)


def batches(rows: Sequence[AttemptRow]) -> Iterator[bytes]:
    """Encoded, in order, at most `ROWS_PER_BATCH_MAX` rows each."""
    for start in range(0, len(rows), ROWS_PER_BATCH_MAX):
        yield _encode(rows[start : start + ROWS_PER_BATCH_MAX])


def fits(row: AttemptRow) -> bool:
    """Whether it can be encoded at all: a number may be too large for it, a text no Unicode."""
    try:
        _encode([row])
    except (OverflowError, ValueError):
        return False
    return True


def plain(text: str) -> str:
    """As the database can hold it: without NUL, of bounded length."""
    if len(text) > TEXT_CHARS_MAX:
        text = text[:TEXT_CHARS_MAX]
    return text.replace("\0", "") if "\0" in text else text
