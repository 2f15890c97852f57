"""What can be asked of the ledger: dimensions, filters, buckets, times, pages. Pure; names are out of closed tables."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from trunkline_kit.errors import InvalidRequest

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
    "source": "usage_source",
    "cache": "cache",
    "guardrails": "guardrails",
    "tag": "tag",
}
"""What usage can be split and filtered by: names for people and columns. `tag` is each of a row's tags by itself."""
TAG = "tag"
BUCKETS = ("hour", "day", "week", "month")
"""Weeks begin on Monday."""
PAGE_LINES = 1_000
LINES_MAX = 100_000
"""In one answer that is not paged."""
PAGE_LINES_MAX = 10_000
VALUES_MAX = 200
"""For one dimension's filter."""
VALUE_CHARS_MAX = 256

_SINCE_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_COUNT_DIGITS_MAX = 6
_YEAR_MIN, _YEAR_MAX = 1970, 9000


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What to add up."""

    since: datetime
    until: datetime
    by: tuple[str, ...] = ()
    """Keys of `DIMENSIONS`."""
    bucket: str | None = None
    """One of `BUCKETS`."""
    time_zone: str = "UTC"
    """Of buckets: a name from the IANA database."""
    where: dict[str, tuple[str, ...]] = {}
    """Dimensions and what they may be; all of them must fit, each to any of its values."""
    limit: int = LINES_MAX
    after: str = ""
    """The `next` of the page before."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The same as somebody wrote it: on a command line, in a URL."""

    by: tuple[str, ...] = ()
    """Also several in one, with commas."""
    bucket: str | None = None
    since: str = "7d"
    until: str | None = None
    """None: now."""
    time_zone: str = "UTC"
    where: tuple[tuple[str, str], ...] = ()
    """A dimension may be there any number of times: any of its values fits."""
    limit: int = PAGE_LINES
    after: str = ""


def query_of(asked: Asked, now: datetime) -> Query:
    """Raises InvalidRequest, with `param` for what was wrong."""
    zone = zone_of(asked.time_zone)
    since = moment(asked.since, now, zone, "since")
    until = moment(asked.until, now, zone, "until") if asked.until else now
    query = Query(
        since=since,
        until=until,
        by=tuple(dict.fromkeys(name.strip() for part in asked.by for name in part.split(",") if name.strip())),
        bucket=asked.bucket or None,
        time_zone=asked.time_zone,
        where=_filters(asked.where),
        limit=asked.limit,
        after=asked.after,
    )
    if not 1 <= asked.limit <= PAGE_LINES_MAX:
        raise InvalidRequest(f"limit must be 1 to {PAGE_LINES_MAX}, not {asked.limit}", param="limit")
    return checked(query)


def checked(query: Query) -> Query:
    """Raises InvalidRequest for a dimension, bucket, zone, filter or page that is not there."""
    if unknown := [name for name in query.by if name not in DIMENSIONS]:
        text = f"usage cannot be split by {', '.join(unknown)}; there are {', '.join(DIMENSIONS)}"
        raise InvalidRequest(text, param="by")
    if unknown := [name for name in query.where if name not in DIMENSIONS]:
        text = f"usage cannot be filtered by {', '.join(unknown)}; there are {', '.join(DIMENSIONS)}"
        raise InvalidRequest(text, param=unknown[0])
    if query.bucket is not None and query.bucket not in BUCKETS:
        raise InvalidRequest(f"a bucket is one of {', '.join(BUCKETS)}, not {query.bucket}", param="bucket")
    if query.since >= query.until:
        raise InvalidRequest(f"nothing is between {query.since} and {query.until}: since must be before", param="since")
    for name, values in query.where.items():
        _check_values(name, values)
    zone_of(query.time_zone)
    place_after(query)
    return query


def zone_of(name: str) -> tzinfo:
    """Raises InvalidRequest for what is no zone of the IANA database."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidRequest(f"{name!r} is no time zone; give one such as Europe/Berlin", param="time_zone") from error


def moment(text: str, now: datetime, zone: tzinfo = UTC, param: str = "since") -> datetime:
    """`7d`, `12h`, `2w` before now, or a date or time as in ISO 8601, in `zone` where it gives none itself."""
    unit, count = _SINCE_UNITS.get(text[-1:]), text[:-1]
    try:
        if unit is not None and count.isascii() and count.isdigit() and len(count) <= _COUNT_DIGITS_MAX:
            return now - int(count) * unit
        found = datetime.fromisoformat(text)
        if _YEAR_MIN <= found.year <= _YEAR_MAX:
            return found if found.tzinfo else found.replace(tzinfo=zone)
    except (ValueError, OverflowError):
        pass
    raise InvalidRequest(f"{text!r} is no time: give 7d, 12h, 2w, 2026-11-01 or 2026-11-01T12:00", param=param)


def page_after(query: Query, begins: datetime | None, by: Mapping[str, str]) -> str:
    """What `after` of the page behind this line is."""
    place = [begins.isoformat()] if query.bucket and begins else []
    return base64.urlsafe_b64encode(msgspec.json.encode([*place, *(by[name] for name in query.by)])).decode()


def place_after(query: Query) -> list[datetime | str]:
    """The inverse; empty for a first page. Raises InvalidRequest for what is no page of this query."""
    if not query.after:
        return []
    try:
        texts = msgspec.json.decode(base64.urlsafe_b64decode(query.after), type=list[str])
        begins: list[datetime | str] = [datetime.fromisoformat(texts.pop(0))] if query.bucket else []
    except (ValueError, IndexError, msgspec.DecodeError) as error:
        raise InvalidRequest("after is the `next` of another answer, unchanged", param="after") from error
    if len(texts) != len(query.by) or not all(map(_is_storable, texts)):
        raise InvalidRequest("after is of a question that was split otherwise; ask for the first page", param="after")
    return [*begins, *texts]


def _filters(where: Sequence[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for name, value in where:
        found.setdefault(name, {})[value] = None
    return {name: tuple(values) for name, values in found.items()}


def _check_values(name: str, values: tuple[str, ...]) -> None:
    if len(values) > VALUES_MAX:
        raise InvalidRequest(f"{name} has {len(values)} values to filter by; {VALUES_MAX} is the most", param=name)
    for value in values:
        if len(value) > VALUE_CHARS_MAX or not _is_storable(value):
            raise InvalidRequest(f"a value of {name} is too long, or no text that could be in the ledger", param=name)


def _is_storable(text: str) -> bool:
    """Neither NUL nor half a character: no row can have these."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
