"""What was used, by any dimension and time bucket, out of the ledger's table."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from trunkline_gateway.ledger.postgres import DOWN
from trunkline_gateway.ledger.schema import TABLE
from trunkline_kit.errors import InvalidRequest, StoreUnavailable
from trunkline_policy.money import usd_text

DIMENSIONS = {
    "org": "org",
    "team": "team",
    "project": "project",
    "key": "key_id",
    "end_user": "end_user",
    "model": "model",
    "asked": "model_asked",
    "provider": "provider",
    "provider_model": "provider_model",
    "route": "route",
    "surface": "surface",
    "outcome": "outcome",
    "price": "price_version",
}
"""What usage can be split by: names for people and columns."""
BUCKETS = ("hour", "day", "week", "month")
"""In UTC; weeks begin on Monday."""
LINES_MAX = 100_000

_SINCE_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_SUMS = """
count(DISTINCT request_id) AS requests,
count(*) FILTER (WHERE outcome <> 'cached') AS attempts,
count(*) FILTER (WHERE outcome = 'cached') AS cached_answers,
count(*) FILTER (WHERE outcome LIKE 'error:%') AS failed_attempts,
count(*) FILTER (WHERE unpriced) AS unpriced_attempts,
count(*) FILTER (WHERE usage_source = 'estimated') AS estimated_attempts,
coalesce(sum(uncached_input_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS uncached_input_tokens,
coalesce(sum(cache_read_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS cache_read_tokens,
coalesce(sum(cache_write_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS cache_write_tokens,
coalesce(sum(output_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS output_tokens,
coalesce(sum(reasoning_tokens) FILTER (WHERE outcome <> 'cached'), 0)::bigint AS reasoning_tokens,
coalesce(sum(cost_nusd), 0)::bigint AS cost_nusd
"""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What to add up."""

    since: datetime
    until: datetime
    by: tuple[str, ...] = ()
    """Keys of `DIMENSIONS`."""
    bucket: str | None = None
    """One of `BUCKETS`."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One group. Tokens are those that providers charged for; what the cache saved is not in them."""

    begins: datetime | None
    """Of its bucket."""
    by: dict[str, str]
    requests: int
    attempts: int
    cached_answers: int
    failed_attempts: int
    unpriced_attempts: int
    """Not in the cost."""
    estimated_attempts: int
    uncached_input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    """Reasoning included."""
    reasoning_tokens: int
    cost_nusd: int

    @property
    def cost_usd(self) -> str:
        return usd_text(self.cost_nusd)

    @property
    def tokens(self) -> int:
        """Of all classes."""
        return self.uncached_input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.output_tokens


def checked(by: Sequence[str], bucket: str | None) -> tuple[str, ...]:
    """Raises InvalidRequest for a dimension or bucket that is not there."""
    if unknown := [name for name in by if name not in DIMENSIONS]:
        raise InvalidRequest(f"usage cannot be split by {', '.join(unknown)}; there are {', '.join(DIMENSIONS)}")
    if bucket is not None and bucket not in BUCKETS:
        raise InvalidRequest(f"a bucket is one of {', '.join(BUCKETS)}, not {bucket}")
    return tuple(dict.fromkeys(by))


def moment(text: str, now: datetime) -> datetime:
    """`7d`, `12h`, `2w` before now, or a date or time as in ISO 8601, UTC where no zone is given."""
    unit = _SINCE_UNITS.get(text[-1:])
    if unit is not None and text[:-1].isdigit():
        return now - int(text[:-1]) * unit
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(f"{text!r} is no time: give 7d, 12h, 2w, 2026-11-01 or 2026-11-01T12:00") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def sql_of(query: Query) -> str:
    """Names come from the two tables above only; times are parameters."""
    names = checked(query.by, query.bucket)
    groups = [f'{DIMENSIONS[name]} AS "{name}"' for name in names]
    if query.bucket is not None:
        groups.insert(0, f"date_trunc('{query.bucket}', started_at, 'UTC') AS begins")
    places = ", ".join(str(at) for at in range(1, len(groups) + 1))
    grouped = f" GROUP BY {places} ORDER BY {places}" if groups else ""
    return (
        f"SELECT {', '.join([*groups, _SUMS])} FROM {TABLE}"  # noqa: S608 - see above
        f" WHERE started_at >= $1 AND started_at < $2{grouped} LIMIT {LINES_MAX}"
    )


async def usage(source: asyncpg.Pool | asyncpg.Connection, query: Query) -> list[Line]:
    """One line for each group, in their order. Raises StoreUnavailable, InvalidRequest."""
    try:
        rows = await source.fetch(sql_of(query), query.since, query.until)
    except asyncpg.UndefinedTableError:
        # No gateway has written to this database yet.
        return []
    except DOWN as error:
        raise StoreUnavailable(f"Postgres does not answer: {type(error).__name__}: {error}") from error
    return [_line(dict(row), query.by) for row in rows]


def _line(row: dict[str, Any], by: Sequence[str]) -> Line:
    begins = row.pop("begins", None)
    return Line(begins=begins, by={name: row.pop(name) for name in dict.fromkeys(by)}, **row)
