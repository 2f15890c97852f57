"""The directory in a gateway's memory, never further behind the database than its notifications, or one poll.

While Postgres is away the snapshot stays as it is and `age_s` grows; whoever relies on it decides how old it may be.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, NoReturn, Protocol

from trunkline_gateway.directory.database import LOAD_TIMEOUT_S
from trunkline_gateway.directory.objects import Changes
from trunkline_gateway.directory.reading import Since
from trunkline_gateway.directory.snapshot import Snapshot, applied
from trunkline_kit.clock import Clock
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.lifecycle import background

log = logging.getLogger(__name__)

OnChange = Callable[[Snapshot], Awaitable[None]]
Heard = Callable[[], None]
Listen = Callable[[Heard], Coroutine[Any, Any, NoReturn]]
"""Calls back at every announcement of a change, until cancelled."""
REFRESH_TIMEOUT_S = 10.0


class ChangeSource(Protocol):
    """What the mirror asks of the store."""

    async def changes(self, since: Since | None = None) -> Changes:
        """What happened after a revision. Raises StoreUnavailable."""


class Mirror:
    """One for a process."""

    def __init__(
        self, source: ChangeSource, clock: Clock, *, poll_s: float = 0.5, listen: Listen | None = None
    ) -> None:
        self._source = source
        self._clock = clock
        self._poll_s = poll_s
        self._listen = listen
        self._asked_s = -math.inf
        self._in_force_s = -math.inf
        self._loading = asyncio.Lock()
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._is_following = False
        self._is_down = False
        self.snapshot = Snapshot()

    @property
    def loaded(self) -> bool:
        """Whether the database was ever read."""
        return bool(self.snapshot.mark)

    @property
    def age_s(self) -> float:
        """Seconds since what is in force was certainly all there was; infinite before the first answer.

        A snapshot that `on_change` would not take is not in force.
        """
        return self._clock.monotonic_s() - self._in_force_s

    async def load(self) -> None:
        """Take up what has happened. For the start, before `following`. Raises StoreUnavailable."""
        async with self._loading:
            asked_s = self._clock.monotonic_s()
            known = self.snapshot
            changes = await self._source.changes(Since(known.revision, known.mark) if self.loaded else None)
            if changes.whole and self.loaded:
                log.info("directory: read as a whole at revision %d, after %d", changes.revision, known.revision)
            if changes.whole or changes.revision != known.revision:
                self.snapshot = await asyncio.to_thread(applied, known, changes)
            self._asked_s = asked_s
            if not self._is_following:
                self._in_force_s = asked_s

    @asynccontextmanager
    async def following(self, on_change: OnChange) -> AsyncIterator[None]:
        """Keep up with the database until the block ends.

        `on_change` gets every snapshot that is newer than the one at the beginning of the block, but for those that a
        newer one has overtaken; one at a time. Where it raises, that is in the log, and it is called again.
        """
        self._is_following = True
        try:
            async with AsyncExitStack() as stack:
                if self._listen is not None:
                    await stack.enter_async_context(background(self._listen(self._wake.set)))
                await stack.enter_async_context(background(self._follow(on_change, self.snapshot)))
                yield
        finally:
            self._is_following = False
            _settle(self._waiting, StoreUnavailable("the gateway is stopping"))

    async def refresh(self) -> None:
        """Return when all that was committed before the call is in the snapshot, and `on_change` knows it.

        Raises StoreUnavailable where the database does not answer, or not in time.
        """
        if not self._is_following:
            await self.load()
            return
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wake.set()
        try:
            async with asyncio.timeout(REFRESH_TIMEOUT_S):
                await done
        except TimeoutError as error:
            raise StoreUnavailable("the directory's changes did not come in time; they come by themselves") from error

    async def _follow(self, on_change: OnChange, told: Snapshot) -> NoReturn:
        while True:
            self._wake.clear()
            waiting, self._waiting = self._waiting, []
            try:
                failure = await self._look()
                told = await self._tell(on_change, told)
                if told is self.snapshot:
                    self._in_force_s = self._asked_s
                elif failure is None:
                    failure = StoreUnavailable(
                        "the change is stored, but could not be put into force here; see the log"
                    )
            except asyncio.CancelledError:
                _settle(waiting, StoreUnavailable("the gateway is stopping"))
                raise
            _settle(waiting, failure)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._wake.wait()

    async def _look(self) -> StoreUnavailable | None:
        """Load, and say when that begins to fail and when it works again."""
        try:
            async with asyncio.timeout(2 * LOAD_TIMEOUT_S):
                await self.load()
        except (StoreUnavailable, TimeoutError) as error:
            failure = error if isinstance(error, StoreUnavailable) else StoreUnavailable("reading took too long")
            if not self._is_down:
                log.warning("directory: changes are not seen at the moment: %s", failure.message)
            self._is_down = True
            return failure
        except Exception as error:  # a fault of ours must not end what revokes keys
            if not self._is_down:
                log.exception("directory: reading changes failed; tried again each %g s", self._poll_s)
            self._is_down = True
            return StoreUnavailable(f"reading the directory failed: {type(error).__name__}")
        if self._is_down:
            log.info("directory: changes are seen again, at revision %d", self.snapshot.revision)
        self._is_down = False
        return None

    async def _tell(self, on_change: OnChange, told: Snapshot) -> Snapshot:
        """Returns the newest snapshot that `on_change` has taken."""
        snapshot = self.snapshot
        if snapshot is told:
            return told
        try:
            await on_change(snapshot)
        except Exception:
            log.exception("directory: revision %d could not be put into force; tried again", snapshot.revision)
            return told
        return snapshot


def _settle(waiting: list[asyncio.Future[None]], failure: StoreUnavailable | None) -> None:
    for done in waiting:
        if done.done():
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)
