"""The journal of attempts in flight: killed at any moment, it has each of them, once."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from trunkline_gateway.ledger import journal as journal_module
from trunkline_gateway.ledger.journal import adopt, journals, open_journal
from trunkline_gateway.ledger.meters import JournalMeters
from trunkline_gateway.ledger.rows import LOST, AttemptRow, encode_rows
from trunkline_gateway.ledger.slots import NO_SLOT, read

ROW = AttemptRow(
    attempt_id=UUID(int=0),
    started_us=1,
    request_id="r",
    attempt=1,
    org="o",
    team="t",
    key_id="k",
    surface="chat",
    model_asked="m",
    model="m",
    provider="p",
    provider_model="pm",
    route="",
    outcome=LOST,
)


def lost(number):
    return replace(ROW, attempt_id=UUID(int=number))


def settled(number):
    return replace(ROW, attempt_id=UUID(int=number), outcome="ok")


def outcomes(data):
    left = read(data)
    assert left.damaged == 0
    return {found.row.attempt_id.int: found.row.outcome for found in left.found}


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def meters(registry):
    return JournalMeters(registry)


@pytest.fixture
def journal(tmp_path, meters):
    opened = open_journal(tmp_path, meters, 4)
    yield opened
    opened.close()


def missed(registry, why):
    return registry.get_sample_value("trunkline_ledger_journal_missed_total", {"why": why})


class Watched:
    """A block, with a copy of it taken after every store, and in the middle of long ones."""

    def __init__(self, block, whole, copies):
        self._block = block
        self._whole = whole
        self._copies = copies

    def __setitem__(self, place, value):
        if isinstance(place, slice):
            middle = len(value) // 2
            self._block[place.start : place.start + middle] = value[:middle]
            self._copies.append(bytes(self._whole))
        self._block[place] = value
        self._copies.append(bytes(self._whole))

    def release(self):
        self._block.release()


STEPS = st.lists(st.tuples(st.sampled_from(["begin", "settle", "free", "count"]), st.integers(0, 5)), max_size=30)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_at_every_moment_each_attempt_is_there_once(steps):
    with tempfile.TemporaryDirectory() as folder:
        journal = open_journal(Path(folder), JournalMeters(CollectorRegistry()), 4)
        slots, copies = journal._slots, []
        whole = slots._bytes
        slots._bytes = Watched(whole, whole, copies)
        slots._words = Watched(slots._words, whole, copies)
        places, known = {}, {}
        for name, number in steps:
            before = dict(known)
            if name == "begin" and number not in known:
                slot = journal.begin(lost(number))
                if slot != NO_SLOT:
                    places[number], known[number] = slot, LOST
            elif name == "settle" and number in known:
                if journal.used < 4:
                    known[number] = "ok"
                places[number] = journal.settle(places[number], settled(number))
            elif name == "free" and known.get(number):
                journal.free([places.pop(number)])
                del known[number]
            elif name == "count" and number in known:
                journal.progress(places[number], 0.0)(3, 1.0)
            for copy in copies:
                assert outcomes(copy) in (before, known)
            copies.clear()
        (path,) = journals(Path(folder))
        assert outcomes(path.read_bytes()) == known
        slots._bytes = whole
        journal.close()
        assert path.exists() is bool(known)


def test_a_journal_that_is_full_says_so_and_keeps_what_it_has(journal, tmp_path, registry):
    slots = [journal.begin(lost(number)) for number in range(5)]
    assert slots[-1] == NO_SLOT
    assert missed(registry, "full") == 1
    assert registry.get_sample_value("trunkline_ledger_journal_slots_used") == 4
    assert journal.settle(slots[0], settled(0)) == slots[0]
    (path,) = journals(tmp_path)
    assert outcomes(path.read_bytes()) == dict.fromkeys(range(4), LOST)
    journal.free(slots)
    assert journal.used == 0
    assert journal.settle(NO_SLOT, settled(4)) != NO_SLOT


def test_a_row_that_is_too_large_is_cut_and_counted(journal, tmp_path, registry):
    row = replace(lost(1), end_user="\U0001f680" * 256, tags=("\U0001f680" * 256,) * 16)
    slot = journal.begin(row)
    assert journal.settle(slot, replace(row, outcome="ok")) not in {slot, NO_SLOT}
    (path,) = journals(tmp_path)
    assert outcomes(path.read_bytes()) == {1: "ok"}
    assert registry.get_sample_value("trunkline_ledger_journal_cut_total") == 2


def test_what_cannot_be_encoded_is_counted(journal, registry):
    assert journal.begin(replace(ROW, output_tokens=10**26)) == NO_SLOT
    assert journal.begin(replace(ROW, team="\ud83d")) == NO_SLOT
    assert missed(registry, "unfit") == 2
    assert journal.progress(NO_SLOT, 0.0) is None


def test_the_owner_keeps_others_out_until_it_is_gone(tmp_path, meters):
    journal = open_journal(tmp_path, meters, 4)
    journal.begin(lost(1))
    (path,) = journals(tmp_path)
    assert adopt(path) is None
    journal.close()
    orphan = adopt(path)
    assert adopt(path) is None, "nor do two sweepers take it"
    assert [found.row.attempt_id.int for found in orphan.left().found] == [1]
    orphan.remove()
    orphan.close()
    assert adopt(path) is None


def test_a_journal_whose_owner_died_before_it_was_ready_is_empty(tmp_path):
    path = tmp_path / "a.journal"
    for data in (b"", bytes(10_000)):
        path.write_bytes(data)
        orphan = adopt(path)
        assert orphan.left().found == ()
        orphan.close()


def test_somebody_who_takes_a_journal_while_it_is_made_does_no_harm(tmp_path, meters, monkeypatch):
    locked, refused = journal_module._locked, []

    def taken_first(descriptor):
        if len(refused) < 2:
            for path in journals(tmp_path):
                refused.append(path)
                path.unlink()
            return len(refused) == 2
        return locked(descriptor)

    monkeypatch.setattr(journal_module, "_locked", taken_first)
    opened = open_journal(tmp_path, meters, 4)
    (path,) = journals(tmp_path)
    assert path not in refused
    opened.close()


def test_a_full_disk_is_an_error_at_the_start_and_leaves_nothing(tmp_path, meters, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        open_journal(tmp_path, meters)
    assert journals(tmp_path) == []


def test_there_are_never_more_than_so_many(tmp_path, meters, monkeypatch):
    monkeypatch.setattr(journal_module, "FILES_MAX", 1)
    (tmp_path / "a.journal").touch()
    with pytest.raises(OSError, match="journals already"):
        open_journal(tmp_path, meters)


CHILD = """
import sys
from pathlib import Path
from uuid import UUID
import msgspec
from prometheus_client import CollectorRegistry
from trunkline_gateway.ledger.journal import open_journal
from trunkline_gateway.ledger.meters import JournalMeters
from trunkline_gateway.ledger.rows import decode_rows

(row,) = decode_rows(bytes.fromhex(sys.argv[2]))
journal = open_journal(Path(sys.argv[1]), JournalMeters(CollectorRegistry()), 64)
say = sys.stdout.buffer.raw.write
slots = []
for number in range(10**9):
    one = msgspec.structs.replace(row, attempt_id=UUID(int=number))
    slot = journal.begin(one)
    say(b"b")
    journal.progress(slot, 0.0)(number, 1.0)
    slots.append(journal.settle(slot, msgspec.structs.replace(one, outcome="ok")))
    say(b"s")
    if len(slots) == 20:
        # Freed in the order they were settled, so that what is there is always a run of numbers.
        while slots:
            journal.free([slots.pop(0)])
            say(b"f")
"""


@pytest.mark.parametrize("moment", [1, 40, 333, 5_000])
def test_a_sigkill_leaves_what_it_was_told(tmp_path, moment):
    """What the child said is a lower bound of what it did; it may have gone one store further."""
    row = encode_rows([ROW]).hex()
    with subprocess.Popen([sys.executable, "-c", CHILD, tmp_path, row], stdout=subprocess.PIPE) as child:
        said = child.stdout.read(moment)
        child.send_signal(signal.SIGKILL)
        said += child.stdout.read()
    begun, ended, freed = said.count(b"b"), said.count(b"s"), said.count(b"f")
    (path,) = journals(tmp_path)
    orphan = adopt(path)
    left = orphan.left()
    orphan.close()
    assert left.damaged == 0
    numbers = sorted(found.row.attempt_id.int for found in left.found)
    assert numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else begun == freed
    assert set(range(freed + 1, begun)) <= set(numbers) <= set(range(freed, begun + 1))
    assert all(found.is_settled for found in left.found if found.row.attempt_id.int < ended)
