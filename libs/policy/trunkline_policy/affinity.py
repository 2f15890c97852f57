"""The same work to the same place, without remembering where it went: weighted rendezvous hashing with bounded loads.

Each key has a random order of all places, by weight, that only depends on the key and the places: when one comes or
goes, only the keys that it wins or held move. Bounding the load sends a key on to the next place of its order while the
first has clearly more than its share, so that one popular prefix cannot drown a place.

Sources: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM ToN 6(1), 1998; Mirrokni,
Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence

from msgspec import Struct

LOAD_FACTOR = 1.25
"""A place may have this much more than its share of what is under way (the paper's c = 1 + epsilon)."""
PREFIX_BYTES = 1024
"""Of a prompt, as it is compared: about the 256 tokens by which providers route to their own prompt caches."""
_UNITS = 1 << 64


def lean(key: bytes, place: str) -> float:
    """A number in (0, 1) that stands for one die, rolled once and for all for this key and this place."""
    digest = hashlib.blake2b(place.encode(), key=key[:64], digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / _UNITS


def key_of(*parts: bytes) -> bytes:
    """One key, 16 bytes, for parts in this order. Where a part ends counts."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return hashed.digest()


def prefix_key(tenant: bytes, shared: bytes, first: bytes, size_bytes: int = PREFIX_BYTES) -> bytes:
    """For prompts that begin alike. `shared` is what many conversations begin with: instructions and tools.

    Where that is shorter than `size_bytes`, the beginning of what the user says `first` is part of it. Turns that come
    later never are, so that a conversation keeps its key.
    """
    head = shared[:size_bytes]
    return key_of(tenant, head, first[: size_bytes - len(head)])


def has_room(load: int, weight: float, total_load: int, total_weight: float, factor: float = LOAD_FACTOR) -> bool:
    """Whether a place may take one more without having clearly more than its share of all that is under way."""
    return load < math.ceil(factor * (total_load + 1) * weight / total_weight)


class Pinned(Struct, frozen=True):
    """Where something is, and until when that is remembered."""

    place: str
    until_s: float


class Pins:
    """What can only be continued where it was begun: at most `size` of them, the oldest go first."""

    def __init__(self, size: int, ttl_s: float) -> None:
        self._size = size
        self._ttl_s = ttl_s
        self._pins: OrderedDict[str, Pinned] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pins)

    def put(self, name: str, place: str, now_s: float) -> None:
        """Remember it from now on."""
        self._pins.pop(name, None)
        self._pins[name] = Pinned(place, now_s + self._ttl_s)
        if len(self._pins) > self._size:
            self._pins.popitem(last=False)

    def place_of(self, name: str, now_s: float) -> str | None:
        """Where it is; None where nobody knows any more."""
        found = self._pins.get(name)
        if found is None:
            return None
        if now_s < found.until_s:
            return found.place
        del self._pins[name]
        return None


def spread(weights: Sequence[float], rolls: Sequence[float]) -> list[float]:
    """Scores in (0, 1]: sorted by them, the highest first, every order comes as often as drawing by weight gives it.

    `rolls` are in [0, 1), one each. Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006,
    in the form of exponential clocks: the first to ring is drawn first.
    """
    largest = max(weights, default=1.0)
    return [1.0 / (1.0 - math.log(1.0 - roll) * largest / weight) for weight, roll in zip(weights, rolls, strict=True)]
