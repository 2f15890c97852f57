"""Numbered SQL steps that bring a database's schema forward, each exactly once, whoever starts at the same time.

Not Alembic: our SQL is Postgres's own (partitions, functions) and written by hand, so nothing of its model comparison
would be used, while it brings SQLAlchemy and greenlet into every process. A service names its steps' `component`, so
that several share one database.
"""

import hashlib
import zlib
from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from trunkline_kit.errors import ConfigError

_TABLE = """
CREATE TABLE IF NOT EXISTS trunkline_migrations (
    component text NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (component, number)
)
"""
LOCK_TIMEOUT = "10s"
"""For another gateway that migrates, or a long query in the way."""


class Migration(Struct, frozen=True, kw_only=True):
    """One step. Never changed once it is released; later steps only add."""

    number: int
    """From 1, without gaps."""
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


async def migrate(connection: asyncpg.Connection, component: str, migrations: Sequence[Migration]) -> list[int]:
    """Apply what is missing, all or nothing; returns the numbers applied. Raises ConfigError for a schema not ours."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_key(component))
        await connection.execute(_TABLE)
        missing = _missing(component, migrations, await _applied(connection, component))
        for step in missing:
            await connection.execute(step.sql)
            await connection.execute(
                "INSERT INTO trunkline_migrations (component, number, name, sha256) VALUES ($1, $2, $3, $4)",
                component,
                step.number,
                step.name,
                step.sha256,
            )
    return [step.number for step in missing]


async def require_migrated(connection: asyncpg.Connection, component: str, migrations: Sequence[Migration]) -> None:
    """Raises ConfigError where steps are missing, or were applied in another form."""
    known = await connection.fetchval("SELECT to_regclass('trunkline_migrations')")
    applied = await _applied(connection, component) if known else {}
    if missing := _missing(component, migrations, applied):
        names = ", ".join(f"{step.number} {step.name}" for step in missing)
        raise ConfigError(f"the database lacks migrations of {component}: {names}; set ledger.migrate for one start")


def lock_key(component: str) -> int:
    """For advisory locks: the same for the same component everywhere."""
    return zlib.crc32(f"trunkline:{component}".encode())


async def _applied(connection: asyncpg.Connection, component: str) -> dict[int, str]:
    rows = await connection.fetch("SELECT number, sha256 FROM trunkline_migrations WHERE component = $1", component)
    return {row["number"]: row["sha256"] for row in rows}


def _missing(component: str, migrations: Sequence[Migration], applied: dict[int, str]) -> list[Migration]:
    """Steps of a newer version that we do not know are no obstacle: they only add."""
    for step in migrations:
        if applied.get(step.number, step.sha256) != step.sha256:
            raise ConfigError(
                f"migration {step.number} {step.name} of {component} was applied in another form;"
                " this database belongs to another build"
            )
    return [step for step in migrations if step.number not in applied]
