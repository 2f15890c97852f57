"""The consumer goes on, whatever it finds in the stream. Over a real Valkey and Postgres: the integration tests."""

import asyncio
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.ledger import loops
from trunkline_gateway.ledger.consumer import Consumer, Writer
from trunkline_gateway.ledger.meters import LedgerMeters
from trunkline_gateway.ledger.postgres import Inserted
from trunkline_gateway.ledger.rows import AttemptRow, encode_rows
from trunkline_gateway.ledger.stream import Entry
from trunkline_kit.lifecycle import background

ROW = AttemptRow(
    attempt_id=UUID(int=1),
    started_us=0,
    request_id="ask",
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
NO_TEXT = encode_rows([ROW]).replace(b"ask", b"\xff\xff\xff")
"""A row whose text is no UTF-8."""


class Table:
    def __init__(self):
        self.rows = []

    async def insert(self, rows):
        self.rows += rows
        return Inserted(len(rows), 0)


class Stream:
    """Gives what it was told to, one after the other, and fails where that is an error."""

    entries = 0

    def __init__(self, *script):
        self._script = list(script)
        self.finished = []
        self.done = asyncio.Event()

    async def claim(self):
        return []

    async def take(self):
        if not self._script:
            await asyncio.Event().wait()
        found = self._script.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def finish(self, entries):
        self.finished += entries
        self.done.set()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def meters(registry):
    return LedgerMeters(registry)


async def test_consuming_goes_on_after_a_failure(meters, monkeypatch, caplog):
    monkeypatch.setattr(loops, "PAUSE_S", 0.0)
    entry = Entry(b"1-0", b"\x90")
    stream = Stream(RuntimeError("surprise"), [entry])
    async with background(Consumer(stream, Writer(Table(), meters), meters).run()):
        await stream.done.wait()
    assert stream.finished == [entry]
    assert "surprise" in caplog.text


@pytest.mark.parametrize("payload", [NO_TEXT, b"", b"\xc1", b"\x91\x90"])
async def test_a_batch_that_is_none_is_counted_and_left_behind(meters, registry, payload):
    await Writer(Table(), meters).put([payload])
    assert registry.get_sample_value("trunkline_ledger_written_total", {"result": "unreadable"}) == 1
