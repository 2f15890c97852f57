"""Rows into Postgres: in order, once each, in partitions that are there before they are needed."""

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from trunkline_gateway.ledger.rows import AttemptRow
from trunkline_gateway.ledger.schema import COMPONENT, MIGRATIONS, TABLE, Month
from trunkline_kit.errors import ConfigError, StoreUnavailable
from trunkline_kit.migrations import lock_key, migrate, require_migrated

log = logging.getLogger(__name__)

DOWN = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""Whatever asyncpg raises when the server is away, refuses or is too slow."""
UNFIT = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, OverflowError, ValueError)
"""What it raises for a row that no retry will make fit."""
GONE = (asyncpg.CheckViolationError, asyncpg.UndefinedTableError)
"""A partition or the table is not there, though we made it: the database was replaced. All is made again."""
_TYPES = {
    "attempt_id": "uuid",
    "started_at": "timestamptz",
    "attempt": "smallint",
    "streamed": "boolean",
    "unpriced": "boolean",
    "tags": "text[]",
}
TAG_SEPARATOR = "\x1f"
"""Between the tags of a row on their way to the database: `unnest` would take an array of arrays apart altogether."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def columns() -> tuple[str, ...]:
    """The table's, in the order of the row's fields."""
    return tuple("started_at" if name == "started_us" else name for name in AttemptRow.__struct_fields__)


def column_type(name: str) -> str:
    """As declared in the schema."""
    counted = name.endswith(("_tokens", "_us", "_nusd", "_units"))
    return _TYPES.get(name, "bigint" if counted else "text")


def _parameter_type(name: str) -> str:
    return "text" if name == "tags" else column_type(name)


def _selected(name: str) -> str:
    return "string_to_array(tags, chr(31))" if name == "tags" else name


INSERT = (
    f"INSERT INTO {TABLE} ({', '.join(columns())})"  # noqa: S608 - names of our own fields only
    f" SELECT {', '.join(_selected(name) for name in columns())}"
    f" FROM unnest({', '.join(f'${at}::{_parameter_type(name)}[]' for at, name in enumerate(columns(), 1))})"
    f" AS batch({', '.join(columns())})"
    " ON CONFLICT DO NOTHING"
)


class Inserted(msgspec.Struct, frozen=True):
    """What came of a batch."""

    new: int
    known: int
    """Delivered before: nothing was written."""
    unfit: tuple[AttemptRow, ...] = ()
    """What the database will never take."""


class UsageStore:
    """The table and its partitions."""

    def __init__(self, pool: asyncpg.Pool, *, may_migrate: bool, retention_days: int) -> None:
        self._pool = pool
        self._may_migrate = may_migrate
        self._retention = timedelta(days=retention_days)
        self._months: set[str] = set()
        self._ready = False

    async def prepare(self) -> None:
        """Bring the schema up to date, or check that it is. Raises StoreUnavailable, ConfigError."""
        if self._ready:
            return
        try:
            async with self._pool.acquire() as connection:
                if self._may_migrate:
                    await migrate(connection, COMPONENT, MIGRATIONS)
                else:
                    await require_migrated(connection, COMPONENT, MIGRATIONS)
        except DOWN as error:
            raise down(error) from error
        self._ready = True

    async def _prepared(self) -> None:
        """For a database that came after the start: a schema that is not ours is no reason to stop serving then."""
        try:
            await self.prepare()
        except ConfigError as error:
            raise StoreUnavailable(error.message) from error

    async def insert(self, rows: Sequence[AttemptRow]) -> Inserted:
        """Write rows that are not there yet. Raises StoreUnavailable when none of them may count as written."""
        await self._prepared()
        ordered = sorted({row.attempt_id: row for row in rows}.values(), key=lambda row: row.attempt_id)
        try:
            await self._ensure_months({Month.of(moment_of(row)).name for row in ordered})
            return await self._insert(ordered)
        except GONE as error:
            self._ready = False
            self._months.clear()
            raise down(error) from error
        except UNFIT:
            return await self._one_by_one(ordered)
        except DOWN as error:
            raise down(error) from error

    async def maintain(self, now_s: float) -> list[str]:
        """Make this month's and the next month's partition, drop those past retention; returns their names."""
        await self._prepared()
        now = datetime.fromtimestamp(now_s, UTC)
        month = Month.of(now)
        try:
            await self._ensure_months({month.name, month.next().name})
            return await self._drop_before(now - self._retention)
        except DOWN as error:
            raise down(error) from error

    async def _insert(self, rows: Sequence[AttemptRow]) -> Inserted:
        """One statement, so all or nothing. In the order of ids: two gateways never wait for each other crosswise."""
        status = await self._pool.execute(INSERT, *arrays(rows))
        new = int(status.rpartition(" ")[2])
        return Inserted(new, len(rows) - new)

    async def _one_by_one(self, rows: Sequence[AttemptRow]) -> Inserted:
        new, known, unfit = 0, 0, []
        for row in rows:
            try:
                one = await self._insert([row])
            except GONE as error:
                raise down(error) from error
            except UNFIT as error:
                log.error("usage ledger: row %s does not fit the database: %s", row.attempt_id, error)  # noqa: TRY400
                unfit.append(row)
            except DOWN as error:
                raise down(error) from error
            else:
                new, known = new + one.new, known + one.known
        return Inserted(new, known, tuple(unfit))

    async def _ensure_months(self, names: Iterable[str]) -> None:
        missing = [month for name in sorted(set(names) - self._months) if (month := Month.named(name))]
        if not missing:
            return
        async with self._pool.acquire() as connection, connection.transaction():
            # Two gateways that make the same partition at once would both fail without it.
            await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_key(COMPONENT))
            for month in missing:
                await connection.execute(month.create_sql())
        self._months |= {month.name for month in missing}

    async def _drop_before(self, moment: datetime) -> list[str]:
        found = await self._pool.fetch(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = $1::regclass", TABLE
        )
        old = [month for row in found if (month := Month.named(row["name"])) and month.ends <= moment]
        for month in old:
            await self._pool.execute(month.drop_sql())
            self._months.discard(month.name)
            log.info("usage ledger: dropped %s, which is past retention", month.name)
        return [month.name for month in old]


def moment_of(row: AttemptRow) -> datetime:
    """When the attempt began, to the microsecond."""
    return _EPOCH + timedelta(microseconds=row.started_us)


def arrays(rows: Sequence[AttemptRow]) -> list[list[Any]]:
    """One list for each column."""
    return [_column(name, rows) for name in AttemptRow.__struct_fields__]


def _column(name: str, rows: Sequence[AttemptRow]) -> list[Any]:
    if name == "started_us":
        return [moment_of(row) for row in rows]
    if name == "tags":
        return [TAG_SEPARATOR.join(row.tags) for row in rows]
    return [getattr(row, name) for row in rows]


def down(error: Exception) -> StoreUnavailable:
    """Postgres is away, or does not let us."""
    return StoreUnavailable(f"Postgres does not take usage: {type(error).__name__}: {error}")
