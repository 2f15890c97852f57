"""Who goes next where requests wait for room: classes of priority, shares of teams, first come first served in a team.

A class goes before a lower one, but nobody waits for ever: what has waited for a quarter of the time that it may wait
counts one class higher, after a half two, also before those of its team that came first and may wait longer. Within a
class teams share by weight: worst-case fair weighted fair queueing (WF2Q+, Bennett and Zhang, 1997) with every request
of size 1, so that no team is ever more than one request ahead of or behind its share. A team that was not there has
nothing saved up.

Times are milliseconds on any one clock.
"""

from collections import deque
from collections.abc import Iterator

import msgspec

INTERACTIVE, NORMAL, BATCH = 0, 1, 2
CLASSES = 3
_STEPS = 4
"""A class is gained with each such part of the longest wait."""
_EPSILON = 1e-9


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One that waits."""

    number: int
    """Of its own; also its place in the order of arrival."""
    team: str
    weight: float = 1.0
    """The team's share; over 0."""
    rank: int = NORMAL
    since_ms: float
    until_ms: float
    """It does not wait longer."""

    @property
    def allowed_ms(self) -> int:
        """How long it may wait, in whole ms: those of equal patience gain classes in the order in which they came."""
        return max(1, round(self.until_ms - self.since_ms))

    def rank_at(self, now_ms: float) -> int:
        """Its class by now: 0 goes first."""
        gained = int(max(0.0, now_ms - self.since_ms) * _STEPS / self.allowed_ms)
        return max(0, self.rank - gained)


class _Team:
    """What one team waits for, by class and by patience: in each such line the first is the one that goes first."""

    __slots__ = ("finish", "lines", "weight")

    def __init__(self) -> None:
        self.lines: tuple[dict[int, deque[Entry]], ...] = tuple({} for _ in range(CLASSES))
        self.finish = 0.0
        """Virtual time at which what it was given is used up."""
        self.weight = 1.0

    @property
    def waits(self) -> bool:
        return any(self.lines)

    def first(self, now_ms: float) -> tuple[int, Entry]:
        """Its highest class by now, and the one who came first in it. There must be one."""
        heads = (line[0] for lines in self.lines for line in lines.values())
        rank, _, entry = min((head.rank_at(now_ms), head.number, head) for head in heads)
        return rank, entry

    def put(self, entry: Entry) -> None:
        """At the place that its number says, from behind: most come last."""
        line = self.lines[entry.rank].setdefault(entry.allowed_ms, deque())
        place = len(line)
        while place and line[place - 1].number > entry.number:
            place -= 1
        line.insert(place, entry)

    def remove(self, entry: Entry) -> None:
        lines = self.lines[entry.rank]
        lines[entry.allowed_ms].remove(entry)
        if not lines[entry.allowed_ms]:
            del lines[entry.allowed_ms]


class FairQueue:
    """Holds entries until they are served or leave. Time and outcomes come from outside."""

    def __init__(self) -> None:
        self._teams: dict[str, _Team] = {}
        self._entries: dict[int, Entry] = {}
        self._virtual = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, number: int) -> bool:
        return number in self._entries

    def __iter__(self) -> Iterator[Entry]:
        """In order of arrival."""
        return iter(self._entries.values())

    def put(self, entry: Entry) -> None:
        """One more. Its number must not be here already, and be above those that are."""
        self._team(entry).put(entry)
        self._entries[entry.number] = entry

    def put_back(self, entry: Entry) -> None:
        """One that was elsewhere meanwhile: it takes the place in its team's line that its number says. O(n)."""
        self._team(entry).put(entry)
        self._entries[entry.number] = entry

    def next(self, now_ms: float) -> Entry | None:
        """Who goes next; None where nobody waits. Changes nothing. O(lines): teams by classes by patiences."""
        firsts = self._firsts(now_ms)
        if not firsts:
            return None
        best = min(rank for rank, _, _ in firsts)
        chosen = [(team, entry) for rank, team, entry in firsts if rank == best]
        virtual = max(self._virtual, min(self._start(team) for team, _ in chosen))
        eligible = [(team, entry) for team, entry in chosen if self._start(team) <= virtual + _EPSILON]
        return min(eligible, key=lambda one: (self._start(one[0]) + 1 / one[0].weight, one[1].number))[1]

    def serve(self, number: int, now_ms: float) -> Entry:
        """It has got what it waited for: its team is charged for it."""
        firsts = self._firsts(now_ms)
        entry = self._entries[number]
        rank = entry.rank_at(now_ms)
        rivals = [team for other, team, _ in firsts if other == rank] or [self._teams[entry.team]]
        virtual = max(self._virtual, min(self._start(team) for team in rivals))
        team = self._teams[entry.team]
        team.finish = self._start(team) + 1 / team.weight
        self._virtual = virtual + 1 / sum(one.weight for one in rivals)
        self.remove(number)
        return entry

    def remove(self, number: int) -> Entry | None:
        """It leaves without having been served; None where it is not here."""
        entry = self._entries.pop(number, None)
        if entry is None:
            return None
        self._teams[entry.team].remove(entry)
        self._tidy()
        return entry

    def ahead_of(self, number: int) -> int:
        """About how many go before it: those of its class or a higher one that came first. O(n)."""
        entry = self._entries[number]
        return sum(other.number < number and other.rank <= entry.rank for other in self._entries.values())

    def _team(self, entry: Entry) -> _Team:
        team = self._teams.setdefault(entry.team, _Team())
        team.weight = entry.weight
        if not team.waits:
            team.finish = max(team.finish, self._virtual)
        return team

    def _firsts(self, now_ms: float) -> list[tuple[int, _Team, Entry]]:
        found = []
        for team in self._teams.values():
            if team.waits:
                rank, entry = team.first(now_ms)
                found.append((rank, team, entry))
        return found

    def _start(self, team: _Team) -> float:
        """Virtual time at which its next request may begin. One that waited in a lower class is owed one at most."""
        return max(team.finish, self._virtual - 1 / team.weight)

    def _tidy(self) -> None:
        """Forget teams that neither wait nor owe anything."""
        if not self._entries:
            self._teams.clear()
            self._virtual = 0.0
            return
        gone = [name for name, team in self._teams.items() if not team.waits and team.finish <= self._virtual]
        for name in gone:
            del self._teams[name]
