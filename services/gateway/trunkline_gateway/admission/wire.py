"""What goes to the store and comes back, as MessagePack arrays: the shapes of `trunkline.lua`."""

from collections.abc import Sequence
from enum import IntEnum

import msgspec


class Kind(IntEnum):
    """What a counter counts with."""

    WINDOW = 1
    CONCURRENT = 2
    BUDGET = 3


ADMIT, SETTLE, RENEW = 1, 2, 3
FAILED = -1
"""In place of the number of the claim that refused: the store could not do the operation."""
USER_PART = ":user:"
"""In the key of every counter of an end user, and in no other: names in keys are quoted."""

Shape = int | tuple[int, ...]
"""Of a window: the width of its cells in ms. Of a budget: boundaries of periods in ms. Else 0."""


class Claim(msgspec.Struct, frozen=True, gc=False):
    """What a request wants of one counter."""

    kind: Kind
    key: str
    limit: int
    cost: int
    shape: Shape = 0


class Amend(msgspec.Struct, frozen=True, gc=False):
    """What a request turned out to have used of one counter."""

    kind: Kind
    key: str
    estimate: int
    actual: int
    shape: Shape = 0


class Admit(msgspec.Struct, frozen=True):
    """All claims or none. With a lease key, done twice it counts once."""

    lease_key: str
    """Empty where nothing needs settling."""
    lease_ms: int
    claims: tuple[Claim, ...]


class Settle(msgspec.Struct, frozen=True):
    """After the request. Done twice, it counts once."""

    lease_key: str
    admitted_ms: int
    """For a reservation that the store does not know (any more)."""
    amends: tuple[Amend, ...]


class Renew(msgspec.Struct, frozen=True):
    """Of a request that is still under way. One whose lease has run out gets its reservation back, fitting or not."""

    lease_key: str
    lease_ms: int
    """From now on."""
    admitted_ms: int
    claims: tuple[Claim, ...]


Op = Admit | Settle | Renew


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """The store's reply to one operation."""

    refused: int
    """0, or the number of the claim that refused, counted from 1: the one with the longest wait. Or `FAILED`."""
    wait_ms: int
    """Until it may fit; -1 for never."""
    now_ms: int
    """The store's clock."""
    rows: tuple[tuple[int, int], ...] = ()
    """Of each claim: what remains, and in how many ms it is as if nothing had been used."""
    said: str = ""
    """By one that failed."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Outcome]).decode
_decode_uses = msgspec.msgpack.Decoder(list[tuple[int, int]]).decode

Packed = tuple[int, int, int, list[tuple[int, int, int, int, Shape]], int]


def packed(ops: Sequence[Op]) -> tuple[list[str], bytes]:
    """The keys that these operations touch, each once, and the operations.

    Raises OverflowError for a number that nobody can count to.
    """
    numbers: dict[str, int] = {}
    arrays: list[Packed] = []
    for op in ops:
        lease = _number(numbers, op.lease_key) if op.lease_key else 0
        if isinstance(op, Settle):
            rules = [(a.kind.value, _number(numbers, a.key), a.estimate, a.actual, a.shape) for a in op.amends]
            arrays.append((SETTLE, lease, op.admitted_ms, rules, 0))
        elif isinstance(op, Admit):
            rules = [(c.kind.value, _number(numbers, c.key), c.limit, c.cost, c.shape) for c in op.claims]
            arrays.append((ADMIT, lease, op.lease_ms, rules, 0))
        else:
            rules = [(c.kind.value, _number(numbers, c.key), c.cost, 0, c.shape) for c in op.claims]
            arrays.append((RENEW, lease, op.lease_ms, rules, op.admitted_ms))
    return list(numbers), _encode(arrays)


def unpacked(reply: bytes) -> list[Outcome]:
    """Raises msgspec.DecodeError or ValidationError for a reply that is none."""
    return _decode(reply)


class Query(msgspec.Struct, frozen=True, gc=False):
    """Which counter to read."""

    kind: Kind
    key: str
    shape: Shape = 0


def packed_queries(queries: Sequence[Query]) -> tuple[list[str], bytes]:
    """As `packed`."""
    numbers: dict[str, int] = {}
    rules = [(one.kind.value, _number(numbers, one.key), one.shape) for one in queries]
    return list(numbers), _encode(rules)


def unpacked_uses(reply: bytes) -> list[tuple[int, int]]:
    """Of each query: what is used, and in how many ms it is not any more. Raises as `unpacked`."""
    return _decode_uses(reply)


def tag_of(key: str) -> str:
    """The hash tag of a key, with its braces: keys with one tag are in one slot of a cluster."""
    return key[key.index("{") : key.index("}") + 1]


def _number(numbers: dict[str, int], key: str) -> int:
    return numbers.setdefault(key, len(numbers) + 1)
