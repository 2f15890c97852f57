"""What goes to the store and comes back, as MessagePack arrays: the shapes of `trunkline.lua`."""

from enum import IntEnum

import msgspec


class Kind(IntEnum):
    """What a counter counts with."""

    WINDOW = 1
    CONCURRENT = 2
    BUDGET = 3


ADMIT, SETTLE = 1, 2

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
    """All claims or none."""

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


Op = Admit | Settle


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """The store's reply to one operation."""

    refused: int
    """0, or the number of the claim that refused, counted from 1: the one with the longest wait."""
    wait_ms: int
    """Until it may fit; -1 for never."""
    now_ms: int
    """The store's clock."""
    rows: tuple[tuple[int, int], ...] = ()
    """Of each claim: what remains, and in how many ms it is as if nothing had been used."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Outcome]).decode

Packed = tuple[int, int, int, list[tuple[int, int, int, int, Shape]]]


def packed(ops: list[Op]) -> tuple[list[str], bytes]:
    """The keys that these operations touch, each once, and the operations."""
    numbers: dict[str, int] = {}
    arrays: list[Packed] = []
    for op in ops:
        lease = _number(numbers, op.lease_key) if op.lease_key else 0
        if isinstance(op, Admit):
            claims = [(c.kind.value, _number(numbers, c.key), c.limit, c.cost, c.shape) for c in op.claims]
            arrays.append((ADMIT, lease, op.lease_ms, claims))
        else:
            amends = [(a.kind.value, _number(numbers, a.key), a.estimate, a.actual, a.shape) for a in op.amends]
            arrays.append((SETTLE, lease, op.admitted_ms, amends))
    return list(numbers), _encode(arrays)


def unpacked(reply: bytes) -> list[Outcome]:
    """Raises msgspec.DecodeError or ValidationError for a reply that is none."""
    return _decode(reply)


def _number(numbers: dict[str, int], key: str) -> int:
    return numbers.setdefault(key, len(numbers) + 1)
