import asyncio
import logging

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from trunkline_gateway.ledger import books as books_module
from trunkline_gateway.ledger import loops
from trunkline_gateway.ledger.attempt_ids import attempt_id
from trunkline_gateway.ledger.books import RETRY_AFTER_S, Books
from trunkline_gateway.ledger.journal import journals, open_journal
from trunkline_gateway.ledger.meters import JournalMeters, LedgerMeters
from trunkline_gateway.ledger.rows import AttemptRow, decode_rows, encode_rows
from trunkline_gateway.ledger.slots import NO_SLOT, read
from trunkline_gateway.ledger.spool import Spool, frame
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.lifecycle import background

ROW = AttemptRow(
    attempt_id=attempt_id(0),
    started_us=0,
    request_id="",
    attempt=1,
    org="",
    team="",
    key_id="",
    surface="",
    model_asked="",
    model="",
    provider="",
    provider_model="",
    route="",
)


def row():
    return replace(ROW, attempt_id=attempt_id(0))


class Store:
    """Takes batches, or is away."""

    path = "stream"
    store = "valkey"

    def __init__(self):
        self.is_up = True
        self.fails = None
        self.calls = []
        self.called = asyncio.Event()
        self.asked = 0

    async def put(self, payloads):
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        if not self.is_up:
            raise StoreUnavailable("away")
        self.calls.append([one.attempt_id for payload in payloads for one in decode_rows(payload)])
        self.called.set()

    @property
    def ids(self):
        return [found for call in self.calls for found in call]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def books_of(store, clock, registry, tmp_path):
    meters = LedgerMeters(registry)

    def made(limit_bytes=100_000, journal=None):
        return Books(store, Spool(tmp_path, limit_bytes), meters, clock, journal)

    return made


@pytest.fixture
def journal(tmp_path):
    return open_journal(tmp_path, JournalMeters(CollectorRegistry()), 8)


def taken(registry, path):
    return registry.get_sample_value("trunkline_ledger_rows_total", {"path": path})


async def test_rows_of_one_turn_leave_together(books_of, store):
    books = books_of()
    async with background(books.run()):
        for _ in range(5):
            books.record(row())
        await store.called.wait()
    assert [len(call) for call in store.calls] == [5]


async def test_while_the_store_is_away_rows_wait_on_disk_and_are_replayed(books_of, store, clock, registry):
    books = books_of()
    rows = [row() for _ in range(4)]
    store.is_up = False
    books.record(rows[0])
    await books.flush()
    books.record(rows[1])
    await books.flush()
    assert store.asked == 1, "a store that just failed is not asked for every batch"
    assert taken(registry, "spool") == 2
    assert await books.replay() == 0
    store.is_up = True
    clock.advance(RETRY_AFTER_S)
    books.record(rows[2])
    await books.flush()
    assert await books.replay() == 2
    assert await books.replay() == 0
    assert sorted(store.ids) == sorted(one.attempt_id for one in rows[:3])
    assert registry.get_sample_value("trunkline_ledger_spool_bytes") == 0


async def test_a_replay_that_is_broken_off_begins_again(books_of, store, clock):
    books = books_of()
    store.is_up = False
    books.record(row())
    await books.flush()
    clock.advance(RETRY_AFTER_S)
    assert await books.replay() == 0
    store.is_up = True
    clock.advance(RETRY_AFTER_S)
    assert await books.replay() == 1


async def test_a_full_spool_loses_rows_aloud(books_of, store, registry, caplog):
    books = books_of(limit_bytes=10)
    store.is_up = False
    books.record(row())
    await books.flush()
    assert taken(registry, "lost") == 1
    assert "1 rows are lost" in caplog.text


async def test_a_spool_that_is_nearly_full_is_in_the_log(books_of, store, caplog):
    books = books_of(limit_bytes=10 * len(frame(encode_rows([row()]))))
    store.is_up = False
    caplog.set_level(logging.ERROR)
    while "rows will be lost" not in caplog.text:
        books.record(row())
        await books.flush()
        assert "are lost" not in caplog.text


async def test_memory_is_bounded(books_of, registry, monkeypatch):
    monkeypatch.setattr(books_module, "ROWS_IN_MEMORY_MAX", 2)
    books = books_of()
    for _ in range(3):
        books.record(row())
    assert taken(registry, "lost") == 1


async def test_what_was_in_hand_when_cancelled_is_flushed_at_the_end(books_of, store):
    books = books_of()
    release = asyncio.Event()
    put = store.put

    async def slow(payloads):
        await release.wait()
        await put(payloads)

    store.put = slow
    one = row()
    async with background(books.run()):
        books.record(one)
        for _ in range(5):
            await asyncio.sleep(0)
    release.set()
    await books.close()
    assert store.ids == [one.attempt_id]


async def test_a_row_that_nothing_can_encode_is_lost_alone(books_of, store, registry):
    books = books_of()
    good = [row(), row()]
    async with background(books.run()):
        for one in (good[0], replace(ROW, output_tokens=10**26), replace(ROW, team="\ud83d"), good[1]):
            books.record(one)
        await store.called.wait()
    assert store.ids == [one.attempt_id for one in good]
    assert taken(registry, "lost") == 2


async def test_a_store_that_fails_in_an_unknown_way_is_one_that_is_away(books_of, store, clock, registry, caplog):
    books = books_of()
    store.fails = RuntimeError("surprise")
    books.record(row())
    await books.flush()
    assert taken(registry, "spool") == 1
    assert "surprise" in caplog.text
    clock.advance(RETRY_AFTER_S)
    with pytest.raises(RuntimeError):
        await books.replay()
    store.fails = None
    assert await books.replay() == 1


async def test_rows_that_cannot_even_be_spooled_are_lost_and_the_next_are_not(books_of, store, registry, caplog):
    books = books_of()
    append = books._spool.append

    def broken(payloads):
        raise RuntimeError("surprise")

    books._spool.append = broken
    store.is_up = False
    books.record(row())
    await books.flush()
    assert (taken(registry, "lost"), len(books._rows)) == (1, 0)
    assert "surprise" in caplog.text
    books._spool.append = append
    books.record(row())
    await books.flush()
    assert taken(registry, "spool") == 1


async def test_a_segment_that_fails_does_not_keep_the_others(books_of, store, clock, tmp_path):
    for _ in range(2):
        # Each process has a segment of its own.
        books = books_of()
        store.is_up = False
        books.record(row())
        await books.close()
    clock.advance(RETRY_AFTER_S)
    store.is_up = True
    first, second = sorted(tmp_path.iterdir())
    claim = books._spool.claim

    def claimed(path):
        if path == first:
            raise PermissionError(13, "Permission denied")
        return claim(path)

    books._spool.claim = claimed
    with pytest.raises(PermissionError):
        await books.replay()
    assert (first.exists(), second.exists(), len(store.ids)) == (True, False, 1)


async def test_taking_rows_goes_on_after_a_failure(books_of, store, monkeypatch):
    monkeypatch.setattr(loops, "PAUSE_S", 0.0)
    books = books_of()
    flush, failures = books.flush, [RuntimeError("surprise")]

    failed = asyncio.Event()

    async def flaky():
        if failures:
            failed.set()
            raise failures.pop()
        await flush()

    books.flush = flaky
    async with background(books.run()):
        books.record(row())
        await failed.wait()
        books.record(row())
        await store.called.wait()
    assert len(store.ids) == 2


@pytest.mark.parametrize("is_up", [True, False])
async def test_a_row_is_in_the_journal_until_it_is_in_a_store_or_on_disk(books_of, store, journal, tmp_path, is_up):
    books = books_of(journal=journal)
    store.is_up = is_up
    (path,) = journals(tmp_path)
    one = row()
    slot = books.begin(replace(one, outcome="lost"))
    assert books.progress(slot, 0.0) is not None
    books.record(one, slot)
    assert [found.row for found in read(path.read_bytes()).found] == [one]
    await books.flush()
    assert (journal.used, read(path.read_bytes()).found) == (0, ())
    await books.close()
    assert not path.exists()


async def test_rows_that_are_lost_aloud_leave_the_journal_too(books_of, store, journal, monkeypatch):
    monkeypatch.setattr(books_module, "ROWS_IN_MEMORY_MAX", 1)
    books = books_of(limit_bytes=10, journal=journal)
    store.is_up = False
    for _ in range(2):
        books.record(row())
    assert journal.used == 1
    await books.flush()
    assert journal.used == 0
    await books.close()


async def test_what_cannot_be_flushed_at_the_end_stays_in_the_journal(books_of, store, journal, tmp_path):
    async def hangs(payloads):
        await asyncio.Event().wait()

    store.put = hangs
    books = books_of(journal=journal)
    one = row()
    books.record(one)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await books.close()
    (path,) = journals(tmp_path)
    assert [found.row for found in read(path.read_bytes()).found] == [one]


async def test_without_a_journal_books_are_kept_all_the_same(books_of, store):
    books = books_of()
    assert (books.begin(row()), books.progress(NO_SLOT, 0.0)) == (NO_SLOT, None)
    books.record(row())
    await books.flush()
    assert len(store.ids) == 1


async def test_rows_of_others_are_brought_or_stay_theirs(books_of, store, registry):
    books = books_of(limit_bytes=10)
    assert await books.bring([])
    assert await books.bring([row()])
    store.is_up = False
    assert not await books.bring([row()])
    assert taken(registry, "lost") == 0


async def test_readiness_says_where_rows_go(books_of, store, clock):
    books = books_of()
    assert await books.check() == "usage goes to valkey"
    store.is_up = False
    books.record(row())
    await books.flush()
    with pytest.raises(StoreUnavailable, match="rows wait in"):
        await books.check()
    clock.advance(RETRY_AFTER_S)
    with pytest.raises(StoreUnavailable, match="rows wait in"):
        await books.check()
    store.is_up = True
    await books.replay()
    assert await books.check() == "usage goes to valkey"
