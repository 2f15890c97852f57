"""Lays a model's weights on huge pages: a decode step reads all of them, and looking up small pages slows it down.

Linux only, and only where transparent huge pages are not switched off; elsewhere nothing changes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

Region: TypeAlias = tuple[int, int]
"""First address, and the one behind the last."""

HUGE_BYTES = 2 * 1024 * 1024
_MAPS = Path("/proc/self/maps")
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
"""From linux/mman.h. The first is for pages to come, the second (Linux 6.1) moves those that are there."""


@contextmanager
def on_huge_pages() -> Iterator[None]:
    """Ask for huge pages under what the block allocates and keeps. A wish: a kernel that refuses it is no error."""
    if not is_allowed():
        yield
        return
    before = anonymous(_MAPS.read_text(encoding="utf-8"))
    yield
    _advise(aligned(added(before, anonymous(_MAPS.read_text(encoding="utf-8")))))


def is_allowed(setting: Path = _SETTING) -> bool:
    """Whether a process may have huge pages when it asks: collapsing pages does not look at this setting by itself."""
    try:
        return "[never]" not in setting.read_text(encoding="ascii")
    except OSError:
        return False


def anonymous(maps: str) -> list[Region]:
    """The writable memory that no file is behind, of the text of /proc/PID/maps, in its order."""
    regions: list[Region] = []
    for line in maps.splitlines():
        place, access, _, _, inode, *name = line.split(maxsplit=5)
        if access == "rw-p" and inode == "0" and name in ([], ["[heap]"]):
            begin, _, end = place.partition("-")
            regions.append((int(begin, 16), int(end, 16)))
    return regions


def added(before: Sequence[Region], after: Sequence[Region]) -> list[Region]:
    """What of `after` is not in `before`; both in ascending order."""
    parts: list[Region] = []
    for begin, end in after:
        start = begin
        for known_begin, known_end in before:
            if known_end <= start or known_begin >= end:
                continue
            if known_begin > start:
                parts.append((start, known_begin))
            start = known_end
        if start < end:
            parts.append((start, end))
    return parts


def aligned(regions: Sequence[Region]) -> list[Region]:
    """The whole huge pages in each region."""
    inside = ((-(-begin // HUGE_BYTES) * HUGE_BYTES, end // HUGE_BYTES * HUGE_BYTES) for begin, end in regions)
    return [(begin, end) for begin, end in inside if begin < end]


def _advise(regions: Sequence[Region]) -> None:
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for begin, end in regions:
        for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE):
            madvise(begin, end - begin, advice)
