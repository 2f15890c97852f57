"""What the cache keeps and what it answers: values, without transport or storage."""

from enum import Enum

from msgspec import Struct

from trunkline_cache.keys import EntryId, Key

ENTRY_OVERHEAD_BYTES = 1200
"""Objects and table rows around the bytes of one entry; measured with tracemalloc on CPython 3.11, 64 bit."""


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer as it was given."""

    body_json: bytes
    usage_json: bytes = b""
    model: str = ""
    provider: str = ""


class Entry(Struct, frozen=True, kw_only=True):
    """A stored answer. Times are of the monotonic clock."""

    id: EntryId
    key: Key
    answer: Answer
    tags: frozenset[str]
    stored_s: float
    ttl_s: float
    size_bytes: int


class Outcome(Enum):
    """How a lookup ended; the value is the stable slug of the contract."""

    HIT = "hit"
    NOT_FOUND = "not-found"
    EXPIRED = "expired"
    TOO_OLD = "too-old"
    """Alive, but older than this caller takes."""


class Found(Struct, frozen=True):
    """The answer to a lookup. `entry` is there on a hit only."""

    outcome: Outcome
    entry: Entry | None = None
    age_s: float = 0.0


class Stored(Struct, frozen=True):
    """The answer to a store: an id, or why not."""

    entry_id: EntryId | None
    reason: str = ""


class Statistics(Struct, frozen=True, kw_only=True):
    """Counts since start; `entries` and `size_bytes` as they are now."""

    hits: int = 0
    misses: int = 0
    entries: int = 0
    size_bytes: int = 0
    evicted: int = 0


def size_of(key: Key, answer: Answer, tags: frozenset[str]) -> int:
    """Bytes that an entry is counted with."""
    texts = (key.scope.tenant, key.scope.namespace, answer.model, answer.provider, *tags)
    return (
        ENTRY_OVERHEAD_BYTES
        + len(answer.body_json)
        + len(answer.usage_json)
        + sum(len(text.encode()) for text in texts)
    )
