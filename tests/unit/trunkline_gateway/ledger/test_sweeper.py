"""What killed gateways left behind is sent on, once it is nobody's."""

import asyncio

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from trunkline_gateway.ledger import sweeper as sweeper_module
from trunkline_gateway.ledger.attempt_ids import attempt_id
from trunkline_gateway.ledger.books import Books
from trunkline_gateway.ledger.journal import journals, open_journal
from trunkline_gateway.ledger.meters import JournalMeters, LedgerMeters, SweepMeters
from trunkline_gateway.ledger.rows import LOST, AttemptRow, decode_rows
from trunkline_gateway.ledger.spool import Spool
from trunkline_gateway.ledger.sweeper import Sweeper, sweeping_journals
from trunkline_gateway.prices.pricing import Pricing, Quote
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import StoreUnavailable
from trunkline_policy.costs import Price, Rates

PRICES = Rates(input=1_000_000, output=2_000_000)
PRICING = Pricing({("up", "real"): (Quote(since_s=0, price=Price(rates=PRICES), version="now"),)})
ROW = AttemptRow(
    attempt_id=attempt_id(0),
    started_us=1_000_000,
    request_id="r",
    attempt=1,
    org="o",
    team="t",
    key_id="k",
    surface="chat",
    model_asked="m",
    model="m",
    provider="up",
    provider_model="real",
    route="",
    uncached_input_tokens=100,
    usage_source="estimated",
    outcome=LOST,
)


class Store:
    """Takes batches, or is away."""

    path = "stream"
    store = "valkey"

    def __init__(self):
        self.is_up = True
        self.rows = []
        self.called = asyncio.Event()

    async def put(self, payloads):
        if not self.is_up:
            raise StoreUnavailable("away")
        self.rows += [row for payload in payloads for row in decode_rows(payload)]
        self.called.set()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def books_of(store, tmp_path):
    def made(limit_bytes=100_000):
        return Books(store, Spool(tmp_path, limit_bytes), LedgerMeters(CollectorRegistry()), ManualClock())

    return made


@pytest.fixture
def charged():
    """Rows that were counted against limits."""
    return []


@pytest.fixture
def sweeper(books_of, registry, charged):
    return Sweeper(books_of(), lambda: PRICING, SweepMeters(registry), charged.append)


@pytest.fixture
def killed(tmp_path):
    """A gateway that had one row settled and one attempt in flight; how it ended is that it let go of its file."""

    def left(pieces=0):
        journal = open_journal(tmp_path, JournalMeters(CollectorRegistry()), 8)
        rows = [replace(ROW, attempt_id=attempt_id(0)), replace(ROW, attempt_id=attempt_id(0), outcome="ok")]
        slots = [journal.begin(row) for row in rows]
        journal.progress(slots[0], 0.0)(pieces, 0.5)
        journal.close()
        return rows

    return left


def swept(registry):
    return [
        registry.get_sample_value("trunkline_ledger_swept_total", {"kind": kind})
        for kind in ("settled", "lost", "damaged")
    ]


async def test_what_settled_is_sent_as_it_is_and_what_was_in_flight_with_what_was_counted(
    sweeper, store, killed, registry, caplog, charged
):
    lost, settled = killed(pieces=6)
    assert await sweeper.sweep() == 1
    rows = {row.attempt_id: row for row in store.rows}
    assert rows[settled.attempt_id] == settled
    assert rows[lost.attempt_id] == replace(
        lost, output_tokens=5, cost_nusd=110, price_version="now", latency_us=500_000
    )
    assert (swept(registry), journals(sweeper._books.folder)) == ([1, 1, 0], [])
    assert "1 settled rows, 1 attempts in flight" in caplog.text
    assert charged == [rows[lost.attempt_id]], "the settled one was counted by the gateway that is dead"
    assert await sweeper.sweep() == 0


async def test_a_journal_in_use_is_left_alone(sweeper, store, tmp_path):
    journal = open_journal(tmp_path, JournalMeters(CollectorRegistry()), 8)
    journal.begin(ROW)
    assert await sweeper.sweep() == 0
    assert store.rows == []
    journal.close()
    assert await sweeper.sweep() == 1


async def test_while_the_store_is_away_rows_go_to_the_spool(sweeper, store, killed, tmp_path):
    killed()
    store.is_up = False
    assert await sweeper.sweep() == 1
    assert journals(tmp_path) == []
    assert sweeper._books._spool.size_bytes


async def test_where_nobody_takes_the_rows_the_journal_stays(books_of, store, killed, registry, tmp_path):
    killed()
    store.is_up = False
    sweeper = Sweeper(books_of(limit_bytes=10), lambda: PRICING, SweepMeters(registry), print)
    for _ in range(2):
        await sweeper.sweep()
        assert (len(journals(tmp_path)), swept(registry)) == (1, [0, 0, 0])


async def test_some_journals_are_swept_at_a_time(sweeper, store, killed, tmp_path):
    for _ in range(sweeper_module.FILES_PER_TURN_MAX + 1):
        killed()
    assert await sweeper.sweep() == sweeper_module.FILES_PER_TURN_MAX
    assert len(journals(tmp_path)) == 1
    assert await sweeper.sweep() == 1


async def test_a_sweep_that_is_broken_off_is_done_again(sweeper, store, killed, tmp_path):
    killed()
    put, release = store.put, asyncio.Event()

    async def slow(payloads):
        await put(payloads)
        await release.wait()

    store.put = slow
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await sweeper.sweep()
    assert len(journals(tmp_path)) == 1
    release.set()
    await sweeper.sweep()
    assert (len(store.rows), len({row.attempt_id for row in store.rows}), journals(tmp_path)) == (4, 2, [])


async def test_two_sweepers_send_nothing_twice(books_of, store, killed, registry):
    killed()
    both = [Sweeper(books_of(), lambda: PRICING, SweepMeters(CollectorRegistry()), print) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        for one in both:
            group.create_task(one.sweep())
    assert len(store.rows) == 2


async def test_what_is_no_journal_is_kept_for_people(sweeper, tmp_path, caplog):
    (tmp_path / "a.journal").write_bytes(b"x" * 100)
    assert await sweeper.sweep() == 1
    assert (tmp_path / "a.damaged").exists()
    assert "kept aside" in caplog.text


async def test_a_journal_that_cannot_be_read_does_not_keep_the_others(sweeper, store, killed, tmp_path):
    (tmp_path / "0.journal").mkdir()
    killed()
    with pytest.raises(OSError, match="directory"):
        await sweeper.sweep()
    assert len(store.rows) == 2


async def test_it_goes_on_beside_the_block_and_is_nothing_without_books(books_of, store, killed, registry):
    killed()
    async with sweeping_journals(books_of(), lambda: PRICING, registry, print):
        await store.called.wait()
    async with sweeping_journals(None, lambda: PRICING, registry, print):
        pass
