"""Which node of a cluster has a key: the hash slots of Redis Cluster. Pure.

Source: the Redis Cluster specification (redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec, read
2026-11-24): CRC16 (XMODEM) of what is between the first `{` and the next `}`, modulo 16384.
"""

from binascii import crc_hqx
from collections.abc import Mapping, Sequence

import msgspec

SLOTS = 16_384
_TAGS_TRIED = 40 * SLOTS
"""A node with a single slot is missed by as many numbers once in e^40 times."""


class Span(msgspec.Struct, frozen=True):
    """Neighbouring slots of one primary. Both ends are in it."""

    first: int
    last: int
    primary: str
    """`host:port`."""


class Topology(msgspec.Struct, frozen=True):
    """Who has which slots, as one node sees it."""

    spans: tuple[Span, ...] = ()
    others: tuple[str, ...] = ()
    """Replicas: they know the cluster too, and one of them is the next primary."""

    @property
    def primaries(self) -> tuple[str, ...]:
        """Those that have slots, each once."""
        return tuple(dict.fromkeys(span.primary for span in self.spans))

    def owners(self) -> list[str]:
        """Of every slot; empty where nobody has it."""
        found = [""] * SLOTS
        for span in self.spans:
            found[span.first : span.last + 1] = [span.primary] * (span.last - span.first + 1)
        return found


def slot_of(key: str) -> int:
    """Keys with the same text between braces have the same slot."""
    begin = key.find("{")
    if begin >= 0:
        end = key.find("}", begin + 1)
        if end > begin + 1:
            key = key[begin + 1 : end]
    return crc_hqx(key.encode(), 0) % SLOTS


def topology_of(reply: Sequence[Sequence[object]], asked: str) -> Topology:
    """Out of the reply to CLUSTER SLOTS. `asked` is the `host:port` that gave it. Raises ValueError for any other.

    A node that does not know its own name says so by an empty one: it is where we asked.
    """
    spans: list[Span] = []
    others: dict[str, None] = {}
    try:
        for first, last, primary, *replicas in reply:
            spans.append(Span(int(str(first)), int(str(last)), _address(primary, asked)))
            others.update((_address(one, asked), None) for one in replicas)
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"a reply that is no list of slots: {error}") from error
    if any(not 0 <= span.first <= span.last < SLOTS for span in spans):
        raise ValueError("a list of slots with numbers that are none")
    return Topology(tuple(spans), tuple(others))


def _address(node: object, asked: str) -> str:
    host, port = node[0], node[1]  # type: ignore[index]  # as the server sends it
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    return f"{name if name not in {'', '?'} else asked.rpartition(':')[0]}:{int(port)}"


def tags_of(owners: Sequence[str]) -> Mapping[str, str]:
    """For each primary a text that hashes to one of its slots: the same for everybody who sees the same owners."""
    missing, found = set(owners) - {""}, dict[str, str]()
    for number in range(_TAGS_TRIED):
        if not missing:
            break
        tag = str(number)
        owner = owners[slot_of(tag)]
        if owner in missing:
            missing.remove(owner)
            found[owner] = tag
    return found
