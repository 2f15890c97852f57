"""How many bytes of request bodies a gateway holds at once: what does not fit is refused.

Only what has arrived is held. A length that is merely announced costs its caller nothing, so it may not cost others
anything either.
"""

from collections import Counter

from trunkline_kit.errors import Overloaded

RETRY_S = 1.0
SHARE = 0.5
"""Of the room, for one caller: whoever fills that leaves as much to all others."""


class BodyRoom:
    """Of one gateway process."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        """May be changed while requests run."""
        self.held_bytes = 0
        self.held_bytes_by: Counter[str] = Counter()
        """By caller, for those who hold anything."""

    def held(self, who: str = "") -> "Held":
        """Of one request of this caller, nothing yet. Whoever has no name has no share of their own."""
        return Held(self, who)


class Held:
    """What one request takes. Release it as often as it was kept, and once more."""

    __slots__ = ("_room", "_users", "_who", "size_bytes")

    def __init__(self, room: BodyRoom, who: str) -> None:
        self._room = room
        self._who = who
        self._users = 1
        self.size_bytes = 0

    def expect(self, size_bytes: int) -> None:
        """So much in all is announced: raises Overloaded where it would not fit now. Takes nothing."""
        room, more = self._room, size_bytes - self.size_bytes
        if room.held_bytes + more > room.limit_bytes and room.held_bytes > self.size_bytes:
            text = f"this gateway holds as many bytes of requests as it may ({room.limit_bytes}); try again"
            raise Overloaded(text, retry_after_s=RETRY_S)
        share_bytes, theirs = int(room.limit_bytes * SHARE), room.held_bytes_by[self._who] if self._who else 0
        if theirs + more > share_bytes and theirs > self.size_bytes:
            text = f"this gateway holds as many bytes of one caller's requests as it may ({share_bytes}); try again"
            raise Overloaded(text, retry_after_s=RETRY_S)

    def grow(self, size_bytes: int) -> None:
        """So much in all. Raises Overloaded where there is no room, unless nothing else is held."""
        more = size_bytes - self.size_bytes
        if more <= 0:
            return
        self.expect(size_bytes)
        self._take(more)

    def keep(self) -> "Held":
        """Somebody else needs the body as well, who is to release it too."""
        self._users += 1
        return self

    def release(self) -> None:
        """One of those who needed it does not any more."""
        self._users -= 1
        if self._users <= 0:
            self._take(-self.size_bytes)

    def _take(self, more: int) -> None:
        room = self._room
        self.size_bytes += more
        room.held_bytes += more
        if self._who:
            room.held_bytes_by[self._who] += more
            if not room.held_bytes_by[self._who]:
                del room.held_bytes_by[self._who]
