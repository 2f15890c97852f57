"""Where requests wait for a limit to have room, instead of being refused at once.

Requests stand in line for the counter that refused them: one line per counter, so that nobody waits behind those who
wait for something else. One at a time tries, chosen by `fair_queue`: when the counter said that there would be room,
when a request of this gateway has given something back, and right after one that was let in. Nothing is reserved for
those who wait. Requests of keys that do not wait do not stand in line: they take what is there or are refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import count

import msgspec

from trunkline_gateway.admission.admission import Admission, Demand, Refused
from trunkline_gateway.admission.holds import Ticket
from trunkline_gateway.admission.levels import Measure, Rule
from trunkline_gateway.admission.meters import QueueMeters
from trunkline_gateway.admission.refusals import with_note
from trunkline_kit.errors import TrunklineError
from trunkline_kit.tenants import Priority
from trunkline_policy.fair_queue import BATCH, INTERACTIVE, NORMAL, Entry, FairQueue

Sharper = Callable[[], Awaitable[Demand | None]]
"""Makes a demand from a closer look at the request; None where there is none."""

QUEUE_HEADER = "x-trunkline-queue-ms"
RANKS = {Priority.INTERACTIVE: INTERACTIVE, Priority.NORMAL: NORMAL, Priority.BATCH: BATCH}
NEVER_MS = -1
_BY_SIZE = (Measure.TOKENS, Measure.BUDGET)
_PACE_WEIGHT = 0.2
"""Of the newest observation in the average time between two that are let in."""
_AT_LEAST_MS = 5.0
"""Between two tries that nothing but the clock asks for."""
_ASK_AGAIN_MS = 100.0
"""The same where room comes without notice."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """How a request waits."""

    team: str
    weight: float
    priority: Priority
    wait_s: float


class Admitted(msgspec.Struct, frozen=True):
    """A reservation, and how long it was waited for."""

    ticket: Ticket
    queued_ms: int = 0


class Waiter:
    """One request in line."""

    __slots__ = ("demand", "entry", "go", "last", "line", "told_ms")

    def __init__(self, entry: Entry, demand: Demand, line: "Line", last: Refused | None) -> None:
        self.entry = entry
        self.demand = demand
        self.line = line
        self.last = last
        """What it was told when it last tried."""
        self.told_ms = entry.since_ms
        self.go = asyncio.Event()


class Line:
    """Those who wait for one counter. While it is not empty, one of them tries or a timer runs."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.queue = FairQueue()
        self.waiters: dict[int, Waiter] = {}
        self.trying: int | None = None
        self.blocked: int | None = None
        """Who tried last and did not fit: the timer is for that one."""
        self.again = False
        """Something was given back while one tried."""
        self.timer: asyncio.TimerHandle | None = None
        self.let_in_ms = 0.0
        self.pace_ms = 0.0
        """Between two that are let in, on average; 0 where nobody has been yet."""

    def put(self, waiter: Waiter) -> None:
        self.waiters[waiter.entry.number] = waiter
        self.queue.put_back(waiter.entry)

    def take(self, waiter: Waiter) -> None:
        self.waiters.pop(waiter.entry.number, None)
        self.queue.remove(waiter.entry.number)

    def let_in(self, now_ms: float) -> None:
        if self.let_in_ms:
            seen_ms = now_ms - self.let_in_ms
            self.pace_ms = seen_ms if not self.pace_ms else self.pace_ms + _PACE_WEIGHT * (seen_ms - self.pace_ms)
        self.let_in_ms = now_ms

    def wait_ms(self, ahead: int, now_ms: float) -> int:
        """What one with so many ahead may have to wait from now: by the timer, and by how fast the line has moved."""
        timer_ms = self.timer.when() * 1000 - now_ms if self.timer is not None else 0.0
        return round(max(timer_ms, (ahead + 1) * self.pace_ms, _AT_LEAST_MS))


class WaitingRoom:
    """All lines of one gateway."""

    def __init__(self, admission: Admission, meters: QueueMeters, requests_max: int) -> None:
        self.admission = admission
        self._meters = meters
        self.requests_max = requests_max
        """May be changed while requests wait."""
        self._lines: dict[str, Line] = {}
        self._numbers = count()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    async def admit(self, demand: Demand, place: Place | None, sharper: Sharper | None = None) -> Admitted:
        """As `Admission.admit`, but waits for room as long as `place` says; None: not at all.

        Where an estimate was too large, `sharper` is asked once for a better one before anybody is refused.
        """
        line = self._line_of(demand.rules) if place is not None else None
        refused = None
        if line is None or place is None:
            found = await self._tried(demand, sharper)
            if isinstance(found, Ticket):
                return Admitted(found)
            refused = found
            if place is None:
                raise self.admission.refused(found)
            if _hopeless(found, place.wait_s * 1000):
                self._meters.ended("hopeless")
                raise self.admission.refused(found)
            line = self._lines.get(found.rule.key) or Line(found.rule.key)
        if self._waiting >= self.requests_max:
            self._meters.ended("full")
            error = self._error(line, demand, refused, len(line.waiters))
            raise with_note(error, "no more requests may wait here (server.queued_requests)")
        return await self._wait(Waiter(self._entry(demand, place), demand, line, refused))

    async def _tried(self, demand: Demand, sharper: Sharper | None) -> Ticket | Refused:
        found = await self.admission.decide(demand)
        if isinstance(found, Ticket) or sharper is None or found.rule.measure not in _BY_SIZE:
            return found
        better = await sharper()
        return found if better is None else await self.admission.decide(better)

    def released(self, keys: Iterable[str]) -> None:
        """A request of this gateway has given back what it had of these counters."""
        if self._lines:
            for key in keys:
                if (line := self._lines.get(key)) is not None:
                    self._wake(line)

    async def _wait(self, waiter: Waiter) -> Admitted:
        self._waiting += 1
        self._meters.length.set(self._waiting)
        self._join(waiter)
        outcome, ticket = "left", None
        try:
            async with asyncio.timeout_at(waiter.entry.until_ms / 1000):
                while ticket is None:
                    await waiter.go.wait()
                    waiter.go.clear()
                    found = await self.admission.decide(waiter.demand)
                    if isinstance(found, Ticket):
                        ticket, outcome = found, "admitted"
                    elif not self._refused(waiter, found):
                        outcome = "hopeless"
                        raise self._waited(waiter)
        except TimeoutError:
            outcome = "late"
            raise self._waited(waiter) from None
        finally:
            self._leave(waiter, served=ticket is not None)
            self._waiting -= 1
            self._meters.length.set(self._waiting)
            self._meters.ended(outcome, (_now_ms() - waiter.entry.since_ms) / 1000)
        return Admitted(ticket, max(1, round(_now_ms() - waiter.entry.since_ms)))

    def _refused(self, waiter: Waiter, found: Refused) -> bool:
        """Take up a place again. False where there is no more hope."""
        line, number, now_ms = waiter.line, waiter.entry.number, _now_ms()
        waiter.last, waiter.told_ms = found, now_ms
        line.trying = None
        left_ms = waiter.entry.until_ms - now_ms
        if _hopeless(found, left_ms):
            return False
        if found.rule.key != line.key:
            self._move(waiter, found, left_ms)
            return True
        line.blocked = number
        following = line.queue.next(now_ms)
        if line.again or (following is not None and following.number != number):
            self._wake(line)
        else:
            self._arm(line, found, left_ms)
        return True

    def _join(self, waiter: Waiter) -> None:
        line, now_ms = waiter.line, _now_ms()
        first = not line.waiters
        self._lines[line.key] = line
        line.put(waiter)
        following = line.queue.next(now_ms)
        if first and waiter.last is not None:
            line.blocked = waiter.entry.number
            self._arm(line, waiter.last, waiter.entry.until_ms - now_ms)
        elif line.trying is None and following is not None and following.number != line.blocked:
            # It goes before the one that did not fit, and may fit.
            self._wake(line)

    def _move(self, waiter: Waiter, found: Refused, left_ms: float) -> None:
        """It has room here by now, but not there."""
        line, key = waiter.line, found.rule.key
        line.take(waiter)
        other = waiter.line = self._lines.setdefault(key, Line(key))
        other.put(waiter)
        if other.trying is None and other.timer is None:
            other.blocked = waiter.entry.number
            self._arm(other, found, left_ms)
        self._wake(line)

    def _leave(self, waiter: Waiter, *, served: bool) -> None:
        line, number, now_ms = waiter.line, waiter.entry.number, _now_ms()
        if served:
            line.queue.serve(number, now_ms)
            line.let_in(now_ms)
        line.take(waiter)
        if line.trying == number:
            line.trying = None
        nobody_moves = line.trying is None and line.timer is None
        if nobody_moves or line.blocked == number or not line.waiters:
            self._wake(line)

    def _wake(self, line: Line) -> None:
        """Let the next one try, unless one does."""
        if line.trying is not None:
            line.again = True
            return
        if line.timer is not None:
            line.timer.cancel()
            line.timer = None
        line.blocked, line.again = None, False
        entry = line.queue.next(_now_ms())
        if entry is None:
            self._lines.pop(line.key, None)
            return
        line.trying = entry.number
        line.waiters[entry.number].go.set()

    def _arm(self, line: Line, found: Refused, left_ms: float) -> None:
        """Try again when the counter says."""
        wait_ms = max(_AT_LEAST_MS, found.wait_ms)
        if found.rule.measure is Measure.CONCURRENT:
            # Not known: places at other gateways come free without a word.
            wait_ms = min(wait_ms, max(_ASK_AGAIN_MS, left_ms / 4))
        if line.timer is not None:
            line.timer.cancel()
        line.timer = asyncio.get_running_loop().call_later(wait_ms / 1000, self._wake, line)

    def _line_of(self, rules: Iterable[Rule]) -> Line | None:
        """Where others wait already for something that this request needs too: it must not go past them."""
        if not self._lines:
            return None
        return next((self._lines[rule.key] for rule in rules if rule.key in self._lines), None)

    def _entry(self, demand: Demand, place: Place) -> Entry:
        now_ms = _now_ms()
        return Entry(
            number=next(self._numbers),
            team=place.team,
            weight=place.weight,
            rank=RANKS[place.priority],
            since_ms=now_ms,
            until_ms=now_ms + min(place.wait_s, demand.total_s) * 1000,
        )

    def _waited(self, waiter: Waiter) -> TrunklineError:
        """The error for one that has waited in vain."""
        now_ms = _now_ms()
        waited_ms = max(1, round(now_ms - waiter.entry.since_ms))
        last = waiter.last
        if last is not None and last.wait_ms > 0:
            last = msgspec.structs.replace(last, wait_ms=max(1, round(last.wait_ms - now_ms + waiter.told_ms)))
        ahead = waiter.line.queue.ahead_of(waiter.entry.number)
        error = self._error(waiter.line, waiter.demand, last, ahead)
        error.headers = (*error.headers, (QUEUE_HEADER, str(waited_ms)))
        return with_note(error, f"it waited {waited_ms / 1000:.1f} s for room")

    def _error(self, line: Line, demand: Demand, last: Refused | None, ahead: int) -> TrunklineError:
        """Says when the line may have moved on so far, not only when the counter has room for one."""
        rule = next((rule for rule in demand.rules if rule.key == line.key), demand.rules[0])
        found = last or Refused(rule=rule, wait_ms=0)
        if found.wait_ms != NEVER_MS:
            wait_ms = max(found.wait_ms, line.wait_ms(ahead, _now_ms()))
            found = msgspec.structs.replace(found, wait_ms=wait_ms)
        return self.admission.refused(found)


def _hopeless(found: Refused, left_ms: float) -> bool:
    """Whether it cannot fit in the time that is left.

    Places that come free are not foretold: what a concurrency limit says is only when to ask again.
    """
    if found.wait_ms == NEVER_MS:
        return True
    return found.rule.measure is not Measure.CONCURRENT and found.wait_ms > left_ms


def _now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000
