"""The journal of attempts in flight: what of them a killed gateway leaves to those that use the same folder.

A file for each process, mapped into its memory: a row costs two copies and no system call. The owner holds the file's
`flock`; one that can be locked has no owner any more, and whoever locks it sends its rows on (`sweeper.py`). The file
is allocated in full at the start, so that a full disk is an error then and not a SIGBUS later. Bounded: what finds no
free slot is counted and goes unprotected, what is too large for one is cut (`fitting.py`).
"""

import fcntl
import logging
import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from trunkline_gateway.ledger.fitting import fitted
from trunkline_gateway.ledger.meters import JournalMeters
from trunkline_gateway.ledger.rows import AttemptRow
from trunkline_gateway.ledger.slots import NO_SLOT, PAYLOAD_BYTES_MAX, Left, Progress, Slots, read, size_bytes

log = logging.getLogger(__name__)

SUFFIX = ".journal"
SLOTS = 4096
"""8 MB a process. One for each attempt in flight, and for each row that is not yet in a store or on disk."""
FILES_MAX = 128
"""In one folder: without a bound, a gateway that is killed again and again while all stores are full would fill it."""


class Journal:
    """Of this process. Used by its event loop only; nothing here waits or fails."""

    def __init__(self, path: Path, descriptor: int, count: int, meters: JournalMeters) -> None:
        self._path = path
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, size_bytes(count))
        self._slots = Slots(memoryview(self._map), count)
        self._free = list(range(count - 1, -1, -1))
        """The one that was freed last is used next: few pages are ever touched."""
        self._count = count
        self._meters = meters
        meters.slots.set(count)
        meters.used.set_function(lambda: self.used)

    @property
    def used(self) -> int:
        return self._count - len(self._free)

    def begin(self, row: AttemptRow) -> int:
        """Write down an attempt that is about to be sent; returns its slot."""
        try:
            payload, is_whole = fitted(row, PAYLOAD_BYTES_MAX)
        except (OverflowError, ValueError):
            self._meters.missed("unfit")
            return NO_SLOT
        if not self._free:
            self._meters.missed("full")
            return NO_SLOT
        if not is_whole:
            self._meters.cut.inc()
        slot = self._free.pop()
        self._slots.write(slot, payload)
        return slot

    def settle(self, slot: int, row: AttemptRow) -> int:
        """Put the row as it ended in the place of the one in `slot`; returns where it is. Free it when it is delivered.

        Where there is no room for it, what was there before stays.
        """
        settled = self.begin(row)
        if settled == NO_SLOT:
            return slot
        if slot != NO_SLOT:
            self._clear(slot)
        return settled

    def free(self, slots: Iterable[int]) -> None:
        """Their rows are safe elsewhere."""
        for slot in slots:
            if slot != NO_SLOT:
                self._clear(slot)

    def progress(self, slot: int, started_s: float) -> Progress | None:
        """Counts the stream of the attempt in `slot`, which began at `started_s`."""
        return None if slot == NO_SLOT else self._slots.progress(slot, started_s)

    def close(self) -> None:
        """Let go of it. What is still in it is for others to send. Blocks."""
        if not self.used:
            self._path.unlink(missing_ok=True)
        self._slots.release()
        self._map.close()
        os.close(self._descriptor)

    def _clear(self, slot: int) -> None:
        self._slots.clear(slot)
        self._free.append(slot)


class Orphan:
    """A journal without an owner. Nobody else has it until it is closed."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def left(self) -> Left:
        """What is in it. Raises Unreadable."""
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            data = file.read()
        # Its owner was killed before it could write the head, so before it served anything.
        return read(data) if data.strip(b"\0") else Left(())

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def set_aside(self, suffix: str) -> None:
        """Keep it for people, where nobody sweeps it."""
        self.path.rename(self.path.with_suffix(suffix))

    def close(self) -> None:
        os.close(self._descriptor)


def open_journal(folder: Path, meters: JournalMeters, count: int = SLOTS) -> Journal:
    """Make this process's journal and lock it. Blocks. Raises OSError, also where there are too many already."""
    if len(journals(folder)) >= FILES_MAX:
        raise OSError(f"{folder} holds {FILES_MAX} journals already; bring the stores back, and they are swept")
    while True:
        path = folder / f"{uuid4().hex}{SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Somebody may have locked it first, found it empty and removed it.
            if _locked(descriptor) and os.fstat(descriptor).st_nlink:
                os.posix_fallocate(descriptor, 0, size_bytes(count))
                return Journal(path, descriptor, count, meters)
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        os.close(descriptor)


def journals(folder: Path) -> list[Path]:
    """All, of whatever process. Raises OSError."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def adopt(path: Path) -> Orphan | None:
    """The journal, if its owner is gone and nobody else has it. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if _locked(descriptor) and os.fstat(descriptor).st_nlink:
            return Orphan(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
