"""The ways to where limits are kept: one to a single server, or one to each primary of a cluster (see `cluster`)."""

from collections.abc import Sequence
from typing import Protocol

from trunkline_gateway.admission.memory import MemoryLimits
from trunkline_gateway.admission.wire import Admit, Outcome, Query, Renew, Settle
from trunkline_kit.errors import StoreUnavailable


class Lane(Protocol):
    """The way to one server."""

    up: bool
    why_down: str
    gateways: int
    local: MemoryLimits

    async def admit(self, op: Admit) -> Outcome | None: ...
    def settle(self, op: Settle) -> None: ...
    def renew(self, op: Renew) -> None: ...
    async def peek(self, queries: Sequence[Query]) -> list[tuple[int, int]]: ...


class Lanes(Protocol):
    """All ways of a gateway."""

    spread: bool
    """Whether keys of different hash tags may be on different servers."""

    def lane(self, tag: str) -> Lane:
        """To the keys of one hash tag."""

    def check(self) -> str:
        """For readiness: who shares the limits. Raises StoreUnavailable."""


class OneLane:
    """To a single server."""

    spread = False

    def __init__(self, batcher: Lane) -> None:
        self._batcher = batcher

    def lane(self, tag: str) -> Lane:  # noqa: ARG002 - all tags are there
        return self._batcher

    def check(self) -> str:
        return shared_by([self._batcher])


def shared_by(lanes: Sequence[Lane]) -> str:
    """Raises StoreUnavailable where one of them is down."""
    down = [lane for lane in lanes if not lane.up]
    if down or not lanes:
        many = f" ({len(down)} of {len(lanes)} primaries)" if len(lanes) > 1 else ""
        why = down[0].why_down if down else "no node of the cluster has shown its map yet"
        raise StoreUnavailable(f"{why}{many}; each key's when_store_is_down decides")
    gateways = max(lane.gateways for lane in lanes)
    cluster = f", {len(lanes)} primaries" if len(lanes) > 1 else ""
    return f"shared by {gateways} gateway{'s' if gateways > 1 else ''}{cluster}"
