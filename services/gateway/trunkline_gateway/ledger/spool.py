"""What the stores cannot take, on disk until they can: segments of framed batches that only grow.

A frame is its payload's length and CRC-32 (little endian, 4 bytes each) and the payload. Each append is synced before
it returns (`fdatasync`), so neither SIGKILL nor a power cut loses what was appended; only the frame that was being
written can be torn, and it is known by its length. The process that writes a segment holds its `flock`: a segment that
can be locked has no writer any more, and any process may replay it.
"""

import fcntl
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

log = logging.getLogger(__name__)

SUFFIX = ".spool"
DAMAGED = ".damaged"
SEGMENT_BYTES_MAX = 8 * 1024 * 1024
_HEAD = struct.Struct("<II")


class Claim:
    """A segment that nobody else replays, until it is closed."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read()
        self.payloads, good_bytes, self._torn = unframe(data)
        self._left_bytes = len(data) - good_bytes

    def finish(self) -> None:
        """Everything in it has been delivered. A segment that is damaged in the middle is kept aside for people."""
        if self._left_bytes and not self._torn:
            aside = self._path.with_suffix(DAMAGED)
            log.error("usage spool: %s is damaged; its last %d bytes are kept", aside, self._left_bytes)
            self._path.rename(aside)
            return
        if self._torn:
            log.warning("usage spool: the last frame of %s was never completed", self._path.name)
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it; unfinished, it is replayed again."""
        os.close(self._descriptor)


class Spool:
    """One process's view of the folder. Its methods block: call them on a thread. Safe to call from several."""

    def __init__(self, folder: Path, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES_MAX) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._size_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Of all segments, of all processes that use the folder."""
        return sum(_size_bytes(path) for path in self._paths())

    @property
    def is_empty(self) -> bool:
        return not any(True for _ in self._paths())

    def append(self, payloads: Sequence[bytes]) -> int:
        """Write and sync; returns how many of them, from the front, are on disk now. The others do not fit."""
        with self._lock:
            try:
                free_bytes = self.limit_bytes - self.size_bytes
            except OSError as error:
                log.error("usage spool: cannot read %s: %s", self.folder, error.strerror or error)  # noqa: TRY400
                return 0
            taken: list[bytes] = []
            for payload in payloads:
                free_bytes -= _HEAD.size + len(payload)
                if free_bytes < 0:
                    break
                taken.append(payload)
            return len(taken) if taken and self._write(b"".join(frame(one) for one in taken)) else 0

    def close(self) -> None:
        """Let go of the segment in hand, so that it can be replayed."""
        with self._lock:
            self._let_go()

    def waiting(self) -> list[Path]:
        """Segments in the order they were begun, the one in hand let go of."""
        self.close()
        return sorted(self._paths())

    def claim(self, path: Path) -> Claim | None:
        """The segment, if nobody else has it and it is still there."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return Claim(path, descriptor)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise

    def _paths(self) -> Iterator[Path]:
        return self.folder.glob(f"*{SUFFIX}")

    def _write(self, data: bytes) -> bool:
        if self._descriptor is None or self._size_bytes + len(data) > self._segment_bytes:
            self._let_go()
        try:
            if self._descriptor is None:
                self._begin()
            return self._append(data)
        except OSError as error:
            log.error("usage spool: cannot write to %s: %s", self.folder, error.strerror or error)  # noqa: TRY400
            self._let_go()
            return False

    def _append(self, data: bytes) -> bool:
        descriptor = self._descriptor
        if descriptor is None:
            return False
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fdatasync(descriptor)
        except OSError:
            os.ftruncate(descriptor, self._size_bytes)
            raise
        self._size_bytes += len(data)
        return True

    def _begin(self) -> None:
        """Make the next segment and lock it, before anybody takes it for one without a writer."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while self._descriptor is None:
            number = max((int(path.name[:12]) for path in self._paths() if path.name[:12].isdigit()), default=0) + 1
            path = self.folder / f"{number:012d}-{uuid4().hex}{SUFFIX}"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            if os.fstat(descriptor).st_nlink == 0:
                # Somebody locked it first, found it empty and removed it.
                os.close(descriptor)
                continue
            self._descriptor, self._path, self._size_bytes = descriptor, path, 0

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._path, self._size_bytes = None, None, 0


def _size_bytes(path: Path) -> int:
    """0 for one that somebody has replayed and removed in the meantime."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def frame(payload: bytes) -> bytes:
    """One payload as it is in a segment."""
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def unframe(data: bytes) -> tuple[list[bytes], int, bool]:
    """Payloads up to the first frame that is not whole, the bytes they take, and whether what follows is torn.

    Torn is a frame that was never completed, which is what a killed writer leaves; anything else is damage.
    """
    payloads: list[bytes] = []
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        if end > len(data):
            break
        payload = data[at + _HEAD.size : end]
        if zlib.crc32(payload) != checksum:
            return payloads, at, False
        payloads.append(payload)
        at = end
    return payloads, at, at < len(data)
