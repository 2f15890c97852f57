"""Everybody's limits and budgets, walked through page by page."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import msgspec

from trunkline_gateway.admin.queries import BoundsPage, Level
from trunkline_gateway.directory.objects import ITEMS_PER_PAGE_MAX, Item, Kind, Query, Spec
from trunkline_gateway.directory.registry import Registry
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.errors import InvalidRequest, ObjectNotFound
from trunkline_kit.tenants import Budget, KeySpec, Limit, Project, Team

OWNERS_MAX = 5_000
"""For one page; most owners may have nothing that it shows."""
PAST_ALL = 999_999_999
"""A position behind all bounds of an owner."""

BoundT = TypeVar("BoundT", Limit, Budget)


class Bound(msgspec.Struct, Generic[BoundT], frozen=True, kw_only=True):
    """One limit or budget, and whose it is."""

    item: Item
    position: int
    """Among those of the item."""
    each_end_user: bool
    terms: BoundT

    @property
    def cursor(self) -> str:
        """Where the next page goes on."""
        return f"{self.item.kind.value}:{self.position}:{self.item.id}"


class Part(msgspec.Struct, Generic[BoundT], frozen=True):
    """One page."""

    bounds: tuple[Bound[BoundT], ...]
    next: str | None


Pick = Callable[[Spec], Iterator[tuple[bool, BoundT]]]
"""The limits or the budgets of a spec, and whether each is for every end user."""


def limits_of(spec: Spec) -> Iterator[tuple[bool, Limit]]:
    """Its own, then those of its end users."""
    if not isinstance(spec, PriceOverride):
        yield from ((False, limit) for limit in spec.limits)
    if isinstance(spec, Team | Project | KeySpec):
        yield from ((True, limit) for limit in spec.end_user.limits)


def budgets_of(spec: Spec) -> Iterator[tuple[bool, Budget]]:
    """Its own, then those of its end users."""
    if not isinstance(spec, PriceOverride):
        yield from ((False, budget) for budget in spec.budgets)
    if isinstance(spec, Team | Project | KeySpec):
        yield from ((True, budget) for budget in spec.end_user.budgets)


class Cursor(msgspec.Struct, frozen=True):
    """The last bound of the page before."""

    kind: Kind
    position: int
    id: str


def cursor_of(text: str) -> Cursor | None:
    """None for an empty text. Raises InvalidRequest."""
    if not text:
        return None
    kind, _, rest = text.partition(":")
    position, _, object_id = rest.partition(":")
    if kind not in {level.value for level in Level} or not position.isdigit() or len(position) > 9 or not object_id:
        raise InvalidRequest("after is not what `next` of another page said", param="after")
    return Cursor(Kind(kind), int(position), object_id)


async def part_of(registry: Registry, page: BoundsPage, pick: "Pick[BoundT]") -> "Part[BoundT]":
    """The page. In order of level, of the owner's id, and as they stand there. Raises InvalidRequest.

    May be short, or empty, though there is a next one: at most `OWNERS_MAX` owners are looked at for it.
    """
    if page.owner and page.level is None:
        raise InvalidRequest("owner needs level as well: ids of different kinds may be the same", param="owner")
    walk = _Walk(registry, pick, page.limit)
    cursor = cursor_of(page.after)
    for kind in _kinds(page, cursor):
        after = cursor if cursor is not None and cursor.kind is kind else None
        if page.owner:
            await walk.one(kind, page.owner, after)
        else:
            await walk.all(kind, after)
        if walk.is_full:
            break
    return walk.part()


def _kinds(page: BoundsPage, cursor: Cursor | None) -> Sequence[Kind]:
    kinds = [Kind(level.value) for level in Level if page.level in {None, level}]
    if cursor is None:
        return kinds
    order = [level.value for level in Level]
    return [kind for kind in kinds if order.index(kind.value) >= order.index(cursor.kind.value)]


class _Walk(Generic[BoundT]):
    """Gathers one bound more than the page has, so that it knows whether there is a next one."""

    def __init__(self, registry: Registry, pick: "Pick[BoundT]", limit: int) -> None:
        self._registry = registry
        self._pick: Pick[BoundT] = pick
        self._limit = limit
        self._found: list[Bound[BoundT]] = []
        self._looked_at = 0
        self._stopped_at: str | None = None

    @property
    def is_full(self) -> bool:
        return len(self._found) > self._limit or self._stopped_at is not None

    def part(self) -> "Part[BoundT]":
        if len(self._found) > self._limit:
            shown = tuple(self._found[: self._limit])
            return Part(shown, shown[-1].cursor)
        return Part(tuple(self._found), self._stopped_at)

    async def one(self, kind: Kind, object_id: str, after: Cursor | None) -> None:
        """Of one owner, those after the cursor; none where it is gone."""
        try:
            item = await self._registry.get(kind, object_id)
        except ObjectNotFound:
            return
        first = after.position + 1 if after is not None and after.id == object_id else 0
        self._found += [bound for bound in _bounds(item, self._pick) if bound.position >= first]

    async def all(self, kind: Kind, after: Cursor | None) -> None:
        """Of all owners of a kind, after the cursor."""
        last = ""
        if after is not None:
            await self.one(kind, after.id, after)
            last = after.id
        while not self.is_full:
            page = await self._registry.list(Query(kind=kind, limit=ITEMS_PER_PAGE_MAX, after=last))
            self._found += [bound for item in page.items for bound in _bounds(item, self._pick)]
            if not page.next:
                return
            last = page.next
            self._looked_at += len(page.items)
            if self._looked_at >= OWNERS_MAX:
                self._stopped_at = f"{kind.value}:{PAST_ALL}:{last}"


def _bounds(item: Item, pick: "Pick[BoundT]") -> "list[Bound[BoundT]]":
    return [
        Bound(item=item, position=position, each_end_user=each, terms=terms)
        for position, (each, terms) in enumerate(pick(item.spec))
    ]
