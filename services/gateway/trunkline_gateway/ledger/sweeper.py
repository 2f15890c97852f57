"""Sends on what killed gateways left in the folder: rows that had settled as they are, the others as `lost`.

Each gateway sweeps, at its start and every few seconds; the file's lock sees to it that one of them does. A journal is
removed once its rows are in a store or on disk; a sweep that is broken off is done again, and ids keep rows from
counting twice.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from trunkline_gateway.ledger.books import Books
from trunkline_gateway.ledger.entries import closed
from trunkline_gateway.ledger.journal import Orphan, adopt, journals
from trunkline_gateway.ledger.loops import forever
from trunkline_gateway.ledger.meters import SweepMeters
from trunkline_gateway.ledger.rows import LOST, AttemptRow
from trunkline_gateway.ledger.slots import Unreadable
from trunkline_gateway.ledger.spool import DAMAGED
from trunkline_gateway.prices.pricing import Pricing
from trunkline_kit.lifecycle import background

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 2.0
FILES_PER_TURN_MAX = 4
"""Each has some thousand rows at most: requests go on in between."""


Charge = Callable[[AttemptRow], None]
"""Counts a lost attempt against its limits and budgets. Never waits; twice within two minutes is once."""


class Sweeper:
    """Of one process; its own journal is locked, so that it never takes that."""

    def __init__(self, books: Books, pricing: Callable[[], Pricing], meters: SweepMeters, charge: Charge) -> None:
        self._books = books
        self._pricing = pricing
        """What is in force now: what lost attempts are charged by."""
        self._meters = meters
        self._charge = charge

    async def run(self) -> None:
        """Sweep for ever."""
        await forever("sweeping journals", self._step)

    async def _step(self) -> None:
        await self.sweep()
        await asyncio.sleep(SWEEP_EVERY_S)

    async def sweep(self) -> int:
        """Take up to `FILES_PER_TURN_MAX` journals without an owner; returns how many were dealt with.

        One that cannot be read or removed does not keep the others; the last such failure is raised.
        """
        swept = 0
        failed: OSError | None = None
        for path in await asyncio.to_thread(journals, self._books.folder):
            if swept >= FILES_PER_TURN_MAX:
                break
            try:
                swept += await self._one(path)
            except OSError as error:
                failed = error
        if failed is not None:
            raise failed
        return swept

    async def _one(self, path: Path) -> bool:
        orphan = await asyncio.to_thread(adopt, path)
        if orphan is None:
            return False
        try:
            haul = await asyncio.to_thread(_haul, orphan, self._pricing())
            if haul is not None and await self._books.bring(haul.rows):
                for row in haul.rows:
                    if row.outcome == LOST:
                        self._charge(row)
                await asyncio.to_thread(orphan.remove)
                self._tell(haul)
        finally:
            orphan.close()
        return True

    def _tell(self, haul: "Haul") -> None:
        settled = len(haul.rows) - haul.lost
        self._meters.swept("settled", settled)
        self._meters.swept("lost", haul.lost)
        self._meters.swept("damaged", haul.damaged)
        if haul.rows or haul.damaged:
            text = "usage ledger: of a gateway that was killed: %d settled rows, %d attempts in flight, %d unreadable"
            log.warning(text, settled, haul.lost, haul.damaged)


class Haul(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent on of one journal."""

    rows: list[AttemptRow]
    lost: int
    """How many of them were in flight."""
    damaged: int


def _haul(orphan: Orphan, pricing: Pricing) -> Haul | None:
    """Read and priced; None for a journal of another layout, which is kept for people. For a thread of its own."""
    try:
        left = orphan.left()
    except Unreadable as error:
        log.error("usage ledger: the journal %s is kept aside: %s", orphan.path.with_suffix(DAMAGED), error)  # noqa: TRY400
        orphan.set_aside(DAMAGED)
        return None
    rows = [closed(found, pricing) for found in left.found]
    return Haul(rows=rows, lost=sum(not found.is_settled for found in left.found), damaged=left.damaged)


@asynccontextmanager
async def sweeping_journals(
    books: Books | None, pricing: Callable[[], Pricing], registry: CollectorRegistry, charge: Charge
) -> AsyncIterator[None]:
    """Sweep the folder of these books beside the block. `pricing` is what is in force when it is called."""
    if books is None:
        yield
        return
    async with background(Sweeper(books, pricing, SweepMeters(registry), charge).run()):
        yield
