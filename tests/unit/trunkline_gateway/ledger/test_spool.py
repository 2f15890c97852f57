import fcntl
import os
import signal
import subprocess
import sys
from pathlib import PosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.ledger.spool import DAMAGED, Spool, frame, unframe

PAYLOADS = st.lists(st.binary(max_size=50), max_size=6)


def drained(spool):
    found = []
    for path in spool.waiting():
        claim = spool.claim(path)
        found += claim.payloads
        claim.finish()
        claim.close()
    return found


@given(PAYLOADS)
def test_frames_there_and_back(payloads):
    assert unframe(b"".join(map(frame, payloads)))[0] == payloads


@given(PAYLOADS.filter(bool), st.data())
def test_a_torn_end_costs_only_the_frame_that_was_torn(payloads, data):
    whole = b"".join(map(frame, payloads))
    last = len(frame(payloads[-1]))
    cut = data.draw(st.integers(1, last - 1))
    assert unframe(whole[:-cut]) == (payloads[:-1], len(whole) - last, True)


def test_damage_is_told_from_a_torn_end():
    data = bytearray(frame(b"one") + frame(b"two"))
    data[len(frame(b"one")) + 8] ^= 1
    assert unframe(bytes(data)) == ([b"one"], len(frame(b"one")), False)


def test_what_is_appended_comes_back_in_order(tmp_path):
    spool = Spool(tmp_path / "new", 10_000)
    assert spool.append([b"1", b"2"]) == 2
    assert spool.append([b"3"]) == 1
    assert not spool.is_empty
    assert drained(spool) == [b"1", b"2", b"3"]
    assert spool.is_empty


def test_it_is_bounded_and_says_how_much_it_took(tmp_path):
    spool = Spool(tmp_path, 3 * len(frame(b"x" * 100)))
    assert spool.append([b"x" * 100] * 2) == 2
    assert spool.append([b"y" * 100] * 5) == 1
    assert spool.append([b"z"]) == 0
    assert spool.size_bytes <= spool.limit_bytes
    assert len(drained(spool)) == 3
    assert spool.append([b"z"]) == 1


def test_segments_are_bounded_and_replayed_in_order(tmp_path):
    spool = Spool(tmp_path, 10_000, segment_bytes=60)
    for number in range(10):
        spool.append([b"%02d" % number * 10])
    assert len(spool.waiting()) == 5
    assert drained(spool) == [b"%02d" % number * 10 for number in range(10)]


def test_a_segment_that_is_being_written_is_nobody_elses(tmp_path):
    writer, other = Spool(tmp_path, 10_000), Spool(tmp_path, 10_000)
    writer.append([b"1"])
    (path,) = other.waiting()
    assert other.claim(path) is None
    writer.close()
    claim = other.claim(path)
    assert claim.payloads == [b"1"]
    assert writer.claim(path) is None
    claim.close()
    assert writer.claim(path) is not None


def test_a_segment_that_is_gone_is_no_error(tmp_path):
    assert Spool(tmp_path, 1).claim(tmp_path / "gone.spool") is None


def test_a_torn_segment_is_removed_and_a_damaged_one_kept(tmp_path):
    spool = Spool(tmp_path, 10_000)
    (tmp_path / "000000000001-torn.spool").write_bytes(frame(b"1") + frame(b"2")[:-1])
    damaged = bytearray(frame(b"3") + frame(b"4"))
    damaged[-1] ^= 1
    (tmp_path / "000000000002-bad.spool").write_bytes(damaged)
    assert drained(spool) == [b"1", b"3"]
    assert [path.suffix for path in tmp_path.iterdir()] == [DAMAGED]


def test_a_folder_that_cannot_be_written_takes_nothing(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert Spool(blocked, 10_000).append([b"1"]) == 0


KILLED = """
import sys
from pathlib import Path
from trunkline_gateway.ledger.spool import Spool
spool = Spool(Path(sys.argv[1]), 1 << 30)
number = 0
while True:
    spool.append([b"%d" % number])
    print(number, flush=True)
    number += 1
"""


def test_sigkill_loses_nothing_that_was_appended(tmp_path):
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE) as process:
        for _ in range(20):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    told = 20 + len(rest)
    found = drained(Spool(tmp_path, 1 << 30))
    assert found[:told] == [b"%d" % number for number in range(told)]
    assert len(found) <= told + 1


@pytest.mark.parametrize("taken", [True, False])
def test_a_new_segment_is_locked_before_anything_is_in_it(tmp_path, taken):
    spool = Spool(tmp_path, 10_000)
    spool.append([b"1"])
    (path,) = tmp_path.iterdir()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if taken:
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            spool.close()
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


class Gone(PosixPath):
    """A segment that another process removes just after it was seen."""

    def exists(self):
        return True


class Removed(Spool):
    def _paths(self):
        yield from super()._paths()
        yield Gone(self.folder / "000000000000-gone.spool")


def test_a_segment_that_is_removed_while_the_folder_is_measured_counts_nothing(tmp_path):
    spool = Removed(tmp_path, 10_000)
    assert spool.append([b"1"]) == 1
    assert spool.size_bytes == len(frame(b"1"))


class Unreadable(Spool):
    def _paths(self):
        raise PermissionError(13, "Permission denied")


def test_a_folder_that_cannot_be_read_takes_nothing(tmp_path, caplog):
    assert Unreadable(tmp_path, 10_000).append([b"1"]) == 0
    assert "Permission denied" in caplog.text
