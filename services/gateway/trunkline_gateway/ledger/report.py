"""What was used, by any dimension and time bucket, out of the ledger's table."""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from trunkline_gateway.ledger.postgres import DOWN
from trunkline_gateway.ledger.questions import DIMENSIONS, TAG, Query, checked, page_after, place_after
from trunkline_gateway.ledger.schema import TABLE
from trunkline_kit.errors import InvalidRequest, StoreUnavailable
from trunkline_policy.money import usd_text

_REQUESTS = "count(*) FILTER (WHERE attempt <= 1) AS requests"
"""Each request has one first attempt, or is one answer from the cache."""
_DISTINCT_REQUESTS = "count(DISTINCT request_id) AS requests"
"""Where a group may have only a later attempt of a request. Costs a sort of all rows."""
_OF_REQUESTS = frozenset({"org", "team", "project", "key", "end_user", "asked", "surface", "route", "cache", "tag"})
"""Dimensions that are the same for all attempts of a request."""
_SUMS = """
count(*) FILTER (WHERE outcome <> 'cached') AS attempts,
count(*) FILTER (WHERE outcome = 'cached') AS cached_answers,
count(*) FILTER (WHERE outcome LIKE 'error:%' AND usage_source = 'none') AS failed_attempts,
count(*) FILTER (WHERE outcome IN ('client_cancelled', 'stream_broken', 'key_revoked', 'lost')) AS cut_attempts,
count(*) FILTER (WHERE unpriced) AS unpriced_attempts,
count(*) FILTER (WHERE usage_source = 'estimated') AS estimated_attempts,
coalesce(sum(uncached_input_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS uncached_input_tokens,
coalesce(sum(cache_read_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS cache_read_tokens,
coalesce(sum(cache_write_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS cache_write_tokens,
coalesce(sum(output_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS output_tokens,
coalesce(sum(reasoning_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS reasoning_tokens,
coalesce(sum(audio_input_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS audio_input_tokens,
coalesce(sum(image_input_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS image_input_tokens,
coalesce(sum(audio_output_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS audio_output_tokens,
coalesce(sum(image_output_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS image_output_tokens,
coalesce(sum(uncached_input_tokens + cache_read_tokens + cache_write_tokens + output_tokens)
    FILTER (WHERE outcome = 'cached'), 0)::bigint AS saved_tokens,
coalesce(sum(cost_nusd) FILTER (WHERE usage_source = 'estimated'), 0)::bigint AS estimated_nusd,
coalesce(sum(cost_nusd), 0)::bigint AS cost_nusd
"""
_BY_TAG = """
 CROSS JOIN LATERAL (
    SELECT DISTINCT unnest(CASE WHEN cardinality(tags) = 0 THEN ARRAY[''] ELSE tags END) AS tag
) AS each_tag
"""
"""A row once for each of its tags, a row without any once with an empty one."""
TAG_NOTE = "a request with several tags is in the line of each of them; the totals count it once"
REQUEST_NOTE = "a request with attempts in several lines is in each of them; the totals count it once"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One group. Tokens are those that providers charged for; what the cache saved is apart."""

    begins: datetime | None
    """Of its bucket."""
    by: dict[str, str]
    requests: int
    attempts: int
    cached_answers: int
    failed_attempts: int
    """Cost nothing."""
    cut_attempts: int
    """Their caller left, their stream broke, their key was revoked, or their gateway died: charged as far as known."""
    unpriced_attempts: int
    """Not in the cost."""
    estimated_attempts: int
    uncached_input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    """Reasoning included."""
    reasoning_tokens: int
    audio_input_tokens: int
    """This and the next three are parts of the uncached input and of the output."""
    image_input_tokens: int
    audio_output_tokens: int
    image_output_tokens: int
    saved_tokens: int
    """Of answers from the cache."""
    estimated_nusd: int
    """The part of the cost that is of estimated attempts."""
    cost_nusd: int

    @property
    def cost_usd(self) -> str:
        return usd_text(self.cost_nusd)

    @property
    def input_tokens(self) -> int:
        """All that was read."""
        return self.uncached_input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def tokens(self) -> int:
        """Of all classes."""
        return self.input_tokens + self.output_tokens


COUNTS = tuple(name for name in Line.__struct_fields__ if name not in {"begins", "by"})
"""What lines count."""
NOTHING = Line(begins=None, by={}, **dict.fromkeys(COUNTS, 0))


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A page of lines, and what all pages add up to."""

    query: Query
    lines: tuple[Line, ...]
    totals: Line
    """Each attempt once, over all pages."""
    next: str = ""
    """`after` of the next page; empty at the end."""
    note: str = ""
    """Why lines do not add up to the totals, where they do not."""


class Sql(msgspec.Struct, frozen=True):
    """A statement and its parameters."""

    text: str
    parameters: tuple[Any, ...]


def lines_sql(query: Query) -> Sql:
    """One row for each group, one more than the page has. Names are out of closed tables, values are parameters."""
    checked(query)
    parameters = _Parameters()
    source = f"{TABLE}{_BY_TAG}" if TAG in query.by else TABLE
    where = _conditions(query, parameters, by_tag=TAG in query.by)
    groups = [(DIMENSIONS[name], name) for name in query.by]
    if query.bucket is not None:
        zone = parameters.add(query.time_zone)
        groups.insert(0, (f"date_trunc('{query.bucket}', started_at, {zone}::text)", "begins"))
    if place := place_after(query):
        values = ", ".join(parameters.add(value) for value in place)
        where.append(f"({', '.join(column for column, _ in groups)}) > ({values})")
    counted = [_requests({*query.by, *query.where}), _SUMS]
    selected = ", ".join([*(f'{column} AS "{name}"' for column, name in groups), *counted])
    places = ", ".join(str(at) for at in range(1, len(groups) + 1))
    grouped = f" GROUP BY {places} ORDER BY {places}" if groups else ""
    limit = parameters.add(query.limit + 1)
    text = f"SELECT {selected} FROM {source} WHERE {' AND '.join(where)}{grouped} LIMIT {limit}"  # noqa: S608 - see above
    return Sql(text, tuple(parameters))


def totals_sql(query: Query) -> Sql:
    """Of all that the query's filters let through, each row once."""
    checked(query)
    parameters = _Parameters()
    where = " AND ".join(_conditions(query, parameters, by_tag=False))
    requests = _requests(set(query.where))
    return Sql(f"SELECT {requests}, {_SUMS} FROM {TABLE} WHERE {where}", tuple(parameters))  # noqa: S608 - as above


async def report(pool: asyncpg.Pool, query: Query) -> Report:
    """A page and the totals, of one moment. Raises StoreUnavailable, InvalidRequest."""
    (only,) = await reports(pool, [query])
    return only


async def usage(pool: asyncpg.Pool, query: Query) -> list[Line]:
    """The lines alone. Raises StoreUnavailable, InvalidRequest."""
    return list((await report(pool, query)).lines)


async def reports(pool: asyncpg.Pool, queries: Sequence[Query]) -> list[Report]:
    """Answers that fit together: all see the ledger at one moment. Raises StoreUnavailable, InvalidRequest."""
    # Time zones are read from files.
    pairs = await asyncio.to_thread(lambda: [(lines_sql(query), totals_sql(query)) for query in queries])
    try:
        async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            found = [
                (await connection.fetch(one.text, *one.parameters), await connection.fetch(all_.text, *all_.parameters))
                for one, all_ in pairs
            ]
    except asyncpg.UndefinedTableError:
        # No gateway has written to this database yet.
        return [Report(query=query, lines=(), totals=NOTHING) for query in queries]
    except asyncpg.UndefinedColumnError as error:
        text = (
            "the ledger's tables are of an older version of Trunkline: start a gateway of this version on the database"
        )
        raise StoreUnavailable(text) from error
    except asyncpg.InvalidParameterValueError as error:
        raise InvalidRequest(f"the database does not know this time zone: {error}", param="time_zone") from error
    except TimeoutError as error:
        raise StoreUnavailable("Postgres took too long: ask for less time, or with more filters") from error
    except DOWN as error:
        raise StoreUnavailable(f"Postgres does not answer: {type(error).__name__}: {error}") from error
    return [_report(query, rows, all_[0]) for query, (rows, all_) in zip(queries, found, strict=True)]


def _requests(dimensions: AbstractSet[str]) -> str:
    return _REQUESTS if dimensions <= _OF_REQUESTS else _DISTINCT_REQUESTS


class _Parameters(list[Any]):
    def add(self, value: Any) -> str:
        """Its name in the statement."""
        self.append(value)
        return f"${len(self)}"


def _conditions(query: Query, parameters: _Parameters, *, by_tag: bool) -> list[str]:
    found = [f"started_at >= {parameters.add(query.since)}", f"started_at < {parameters.add(query.until)}"]
    for name, values in query.where.items():
        given = f"{parameters.add(list(values))}::text[]"
        if name == TAG and not by_tag:
            found.append(f"(tags && {given} OR ('' = ANY({given}) AND cardinality(tags) = 0))")
        else:
            found.append(f"{DIMENSIONS[name]} = ANY({given})")
    return found


def _report(query: Query, rows: Sequence[Any], totals: Any) -> Report:
    lines = tuple(_line(dict(row), query.by) for row in rows[: query.limit])
    more = len(rows) > query.limit
    return Report(
        query=query,
        lines=lines,
        totals=_line(dict(totals), ()),
        next=page_after(query, lines[-1].begins, lines[-1].by) if more else "",
        note=_note(query, lines, totals["requests"], is_whole=not more and not query.after),
    )


def _note(query: Query, lines: Sequence[Line], requests: int, *, is_whole: bool) -> str:
    if TAG in query.by:
        return TAG_NOTE
    differs = sum(line.requests for line in lines) != requests
    return REQUEST_NOTE if is_whole and differs else ""


def _line(row: dict[str, Any], by: Sequence[str]) -> Line:
    begins = row.pop("begins", None)
    return Line(begins=begins, by={name: row.pop(name) for name in by}, **row)
