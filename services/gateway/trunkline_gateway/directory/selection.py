"""Which objects a list holds: the same choice in memory as in Postgres."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from trunkline_gateway.directory.objects import ITEMS_PER_PAGE_MAX, Item, Kind, Page, Query
from trunkline_gateway.directory.specs import default_text, field_text
from trunkline_kit.errors import InvalidRequest

FILTERS: dict[Kind, tuple[str, ...]] = {
    Kind.ORG: (),
    Kind.TEAM: ("org",),
    Kind.PROJECT: ("team",),
    Kind.KEY: ("team", "project", "disabled", "policy", "priority"),
    Kind.TAG: (),
    Kind.MODEL: (),
    Kind.PRICE: ("provider", "model", "team"),
}
"""Fields of the spec that a list can be filtered by."""
Condition = tuple[str, str | None, Sequence[str]]
"""A field, what it is where it is not stored, and what it may be."""


def check_limit(limit: int) -> None:
    """Raises InvalidRequest for a page that is empty or too large."""
    if not 1 <= limit <= ITEMS_PER_PAGE_MAX:
        raise InvalidRequest(f"limit must be from 1 to {ITEMS_PER_PAGE_MAX}, not {limit}", param="limit")


def conditions(query: Query) -> list[Condition]:
    """Of a query. Raises InvalidRequest for a field that cannot be filtered by."""
    wanted = [*((name, (value,)) for name, value in query.equal.items()), *query.any_of.items()]
    known = FILTERS[query.kind]
    for name, _ in wanted:
        if name not in known:
            choices = f"by {', '.join(known)}" if known else "by prefix only"
            raise InvalidRequest(f"cannot filter by {name!r}; a {query.kind.value} is found {choices}", param=name)
    return [(name, default_text(query.kind, name), values) for name, values in wanted]


def select(items: Iterable[Item], query: Query) -> Iterator[Item]:
    """Those that the query is for, in any order and without a limit. Raises InvalidRequest."""
    wanted = conditions(query)
    for item in items:
        if item.id > query.after and item.id.startswith(query.prefix) and _fits(item, wanted):
            yield item


def page_of(items: Iterable[Item], query: Query) -> Page[Item]:
    """As Postgres would have it. Raises InvalidRequest."""
    check_limit(query.limit)
    found = sorted(select(items, query), key=lambda item: item.id)
    page = tuple(found[: query.limit])
    return Page(items=page, next=page[-1].id if len(found) > query.limit else "")


def merged(declared: Mapping[str, Item], stored: Page[Item], query: Query) -> Page[Item]:
    """One page out of both, in one order. What is declared hides what is stored under the same id.

    May hold fewer than `limit` though there is a next one. Raises InvalidRequest.
    """
    own = select(declared.values(), query)
    # Behind the end of the stored page there may be stored ones that come before a declared one.
    within = [item for item in own if not stored.next or item.id <= stored.next]
    both = [*within, *(item for item in stored.items if item.id not in declared)]
    both.sort(key=lambda item: item.id)
    if len(both) > query.limit:
        page = tuple(both[: query.limit])
        return Page(items=page, next=page[-1].id)
    return Page(items=tuple(both), next=stored.next)


def _fits(item: Item, wanted: Sequence[Condition]) -> bool:
    return all(field_text(getattr(item.spec, name)) in values for name, _, values in wanted)
