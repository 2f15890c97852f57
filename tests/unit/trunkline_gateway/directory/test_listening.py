"""Listening goes on whatever happens to it."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from trunkline_gateway.directory.listening import listen
from trunkline_gateway.directory.schema import CHANNEL
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.lifecycle import background


class Connection:
    """One that says something, and ends when it is told to."""

    def __init__(self):
        self.said = None
        self.ended = None
        self.closed = False
        self.left = []

    def add_termination_listener(self, callback):
        self.ended = callback

    def remove_termination_listener(self, callback):
        self.left.append(callback)

    async def add_listener(self, channel, callback):
        assert channel == CHANNEL
        self.said = callback

    async def remove_listener(self, channel, callback):
        self.left.append(callback)

    def is_closed(self):
        return self.closed


class Database:
    """Gives what it was given: a connection, or a failure."""

    def __init__(self, *given):
        self._given = list(given)
        self.used_up = asyncio.Event()

    @asynccontextmanager
    async def listening(self):
        if not self._given:
            self.used_up.set()
            await asyncio.Event().wait()
        given = self._given.pop(0)
        if isinstance(given, Exception):
            raise given
        yield given


class Heard:
    def __init__(self):
        self.count = 0
        self.again = asyncio.Event()

    def __call__(self):
        self.count += 1
        self.again.set()

    async def next(self):
        await self.again.wait()
        self.again.clear()


async def test_each_connection_and_each_announcement_is_heard():
    connection, heard = Connection(), Heard()
    async with background(listen(Database(connection), heard)):
        await heard.next()
        connection.said(connection, 1, CHANNEL, "7")
        await heard.next()
    assert heard.count == 2
    assert len(connection.left) == 2, "nothing of ours stays on a connection that goes back to the pool"


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr("trunkline_gateway.directory.listening.RETRY_S", 0.0)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("failure", [StoreUnavailable("away"), KeyError("a fault of ours")])
async def test_a_failure_is_said_once_and_listening_goes_on(caplog, failure):
    caplog.set_level("INFO")
    first, second, heard = Connection(), Connection(), Heard()
    database = Database(first, failure, failure, second)
    async with background(listen(database, heard)):
        await heard.next()
        first.closed = True
        first.ended(first)
        await heard.next()
        second.closed = True
        second.ended(second)
        await database.used_up.wait()
    said = [record.levelname for record in caplog.records]
    assert said == ["WARNING", "INFO", "WARNING"], "lost; there again; lost"
