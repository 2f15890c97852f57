"""Where responses are kept: the contract, and the store of a gateway that is alone."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from trunkline_kit.clock import Clock

ENTRY_BYTES = 256
"""What an entry costs beside its data, about."""


class States(Protocol):
    """Named bytes for some time, apart for each owner. Everything raises StoreUnavailable."""

    async def put(self, owner: str, entries: Mapping[str, bytes], ttl_s: float, used: Sequence[str] = ()) -> None:
        """Keep all of them. What was `used` for them is kept as long from now on."""

    async def get(self, owner: str, names: Sequence[str]) -> list[bytes | None]:
        """In the order of `names`; None for each that is not there."""

    async def delete(self, owner: str, names: Sequence[str]) -> int:
        """How many of them were there."""

    async def check(self) -> None:
        """Raises StoreUnavailable where keeping something would fail now."""


class _Kept(msgspec.Struct, frozen=True):
    data: bytes
    until_s: float


class MemoryStates:
    """In this process: gone with it. Bounded; what was not used for longest goes first."""

    def __init__(self, clock: Clock, size_bytes_max: int) -> None:
        self._clock = clock
        self._max = size_bytes_max
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self.size_bytes = 0

    async def put(self, owner: str, entries: Mapping[str, bytes], ttl_s: float, used: Sequence[str] = ()) -> None:
        until_s = self._clock.monotonic_s() + ttl_s
        for name in used:
            if (found := self._find(owner, name)) is not None:
                self._kept[owner, name] = _Kept(found, until_s)
        for name, data in entries.items():
            self._drop((owner, name))
            self._kept[owner, name] = _Kept(data, until_s)
            self.size_bytes += len(data) + ENTRY_BYTES
        while self.size_bytes > self._max and self._kept:
            self._drop(next(iter(self._kept)))

    async def get(self, owner: str, names: Sequence[str]) -> list[bytes | None]:
        return [self._find(owner, name) for name in names]

    async def delete(self, owner: str, names: Sequence[str]) -> int:
        return sum([self._find(owner, name) is not None and self._drop((owner, name)) for name in names])

    async def check(self) -> None:
        """Always fit."""

    def _find(self, owner: str, name: str) -> bytes | None:
        key = (owner, name)
        found = self._kept.get(key)
        if found is None:
            return None
        if found.until_s <= self._clock.monotonic_s():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return found.data

    def _drop(self, key: tuple[str, str]) -> bool:
        found = self._kept.pop(key, None)
        if found is not None:
            self.size_bytes -= len(found.data) + ENTRY_BYTES
        return found is not None
