"""The ledger of a gateway, put together from the stores that it has."""

import asyncio
import hashlib
import logging
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

from msgspec import Struct
from prometheus_client import CollectorRegistry

from trunkline_gateway.ledger.books import Books, Delivery
from trunkline_gateway.ledger.consumer import Consumer, Writer
from trunkline_gateway.ledger.journal import Journal, open_journal
from trunkline_gateway.ledger.loops import forever
from trunkline_gateway.ledger.meters import JournalMeters, LedgerMeters
from trunkline_gateway.ledger.postgres import UsageStore
from trunkline_gateway.ledger.spool import Spool
from trunkline_gateway.ledger.stream import BLOCK_S, UsageStream
from trunkline_kit.accounts import Ledger
from trunkline_kit.clock import Clock
from trunkline_kit.errors import ConfigError, StoreUnavailable
from trunkline_kit.lifecycle import background
from trunkline_kit.secrets import Secret
from trunkline_kit.stores.postgres import PostgresOptions, open_postgres
from trunkline_kit.stores.valkey import ValkeyOptions, open_valkey

log = logging.getLogger(__name__)

REPLAY_EVERY_S = 0.5
MAINTAIN_EVERY_S = 3600.0
POSTGRES_PORT = 5432
FLUSH_TIMEOUT_S = 5.0
"""At the end: for what is in memory to reach a store or the disk."""
PREPARE_TIMEOUT_S = 5.0
"""At the start, for the schema; a database that is away does not keep the gateway from serving."""


class LedgerOptions(Struct, frozen=True, kw_only=True):
    """What a ledger is made of."""

    redis: Secret | None = None
    database: Secret | None = None
    ledger: Ledger = Ledger()


@asynccontextmanager
async def open_ledger(options: LedgerOptions, clock: Clock, registry: CollectorRegistry) -> AsyncIterator[Books | None]:
    """Keep books until the block ends; None without a database.

    Rows taken before the end are in a store or on disk after it. Raises ConfigError for a URL
    that makes no sense and for a schema that is not ours; a store that is away is no error.
    """
    database = options.database
    if database is None:
        log.warning("there is no stores.database: usage is counted in metrics, and not written down")
        yield None
        return
    meters = LedgerMeters(registry)
    async with AsyncExitStack() as stack:
        pool_options = PostgresOptions(connections=2)
        pool = await stack.enter_async_context(open_postgres(database.reveal(), pool_options))
        ledger = options.ledger
        store = UsageStore(pool, may_migrate=ledger.migrate, retention_days=ledger.retention_days)
        await _prepared(store)
        writer = Writer(store, meters)
        delivery: Delivery = writer
        if options.redis is not None:
            url = options.redis.reveal()
            client = await stack.enter_async_context(open_valkey(url, ValkeyOptions(connections=4)))
            patient = ValkeyOptions(timeout_s=BLOCK_S + 1.0, connections=2)
            reader = await stack.enter_async_context(open_valkey(url, patient))
            stream = UsageStream(client, reader, consumer_name(), ledger.stream_limit_entries, ledger.claim_after_s)
            delivery = Streamed(stream)
            await stack.enter_async_context(background(Consumer(stream, writer, meters).run()))
            await stack.enter_async_context(background(forever("tidying the stream", partial(_tidy, stream))))
        spool = await asyncio.to_thread(open_spool, ledger, database)
        journal = await asyncio.to_thread(_open_journal, spool.folder, JournalMeters(registry))
        books = Books(delivery, spool, meters, clock, journal)
        stack.push_async_callback(_end, books)
        await stack.enter_async_context(background(books.run()))
        await stack.enter_async_context(background(forever("replaying the spool", partial(_replay, books))))
        await stack.enter_async_context(
            background(forever("looking after partitions", partial(_maintain, store, clock)))
        )
        yield books


class Streamed:
    """To Postgres by way of Valkey."""

    path = "stream"
    store = "valkey"

    def __init__(self, stream: UsageStream) -> None:
        self._stream = stream

    async def put(self, payloads: Sequence[bytes]) -> None:
        await self._stream.put(payloads)


def consumer_name() -> str:
    """Unlike any other, also after a restart: what the last run had in hand is claimed, not taken for ours."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"


def open_spool(ledger: Ledger, database: Secret) -> Spool:
    """Raises ConfigError where the folder cannot be made or, unless it was named, may not be ours alone."""
    folder = Path(ledger.spool_dir) if ledger.spool_dir else default_spool_folder(database)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"ledger.spool_dir: cannot make {folder}: {error.strerror}") from error
    if not ledger.spool_dir:
        _check_private(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"ledger.spool_dir: cannot write to {folder}")
    return Spool(folder, ledger.spool_limit_bytes)


def _open_journal(folder: Path, meters: JournalMeters) -> Journal | None:
    """None where there can be none: a gateway that serves is worth more than a row after a SIGKILL."""
    try:
        return open_journal(folder, meters)
    except OSError as error:
        log.error("usage ledger: no journal in %s, a SIGKILL loses what is in flight: %s", folder, error)  # noqa: TRY400
        return None


def default_spool_folder(database: Secret) -> Path:
    """Of this user, where temporary files go: it outlives the process, not the machine. Name a better one.

    One for each database, since whoever finds rows there sends them to its own.
    """
    return Path(tempfile.gettempdir()) / f"trunkline-spool-{os.geteuid()}-{database_digest(database)}"


def database_digest(database: Secret) -> str:
    """Of where a database is, and nothing about who uses it: another password is no other database.

    An address that is written in another way is another one, also where it leads to the same place.
    """
    parts = urlsplit(database.reveal())
    query = dict(parse_qsl(parts.query))
    # What stands before the question mark wins, and a database has its user's name by default, as with the driver.
    host = unquote(parts.hostname or "") or query.get("host", "")
    port = parts.port or query.get("port") or POSTGRES_PORT
    name = unquote(parts.path.lstrip("/")) or query.get("dbname") or query.get("database")
    user = unquote(parts.username or "") or query.get("user", "")
    where = "\0".join((host, str(port), name or user))
    return hashlib.sha256(where.encode()).hexdigest()[:12]


def _check_private(folder: Path) -> None:
    """Raises ConfigError for a folder that is not ours: anybody may make one, or a link, by a name they can guess."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        wrong = "is no folder of its own"
    elif found.st_uid != os.geteuid():
        wrong = f"belongs to user {found.st_uid}"
    elif found.st_mode & 0o077:
        wrong = "is open to other users"
    else:
        return
    raise ConfigError(f"ledger.spool_dir: {folder} {wrong}; name a folder that only this user can write to")


async def _prepared(store: UsageStore) -> None:
    try:
        async with asyncio.timeout(PREPARE_TIMEOUT_S):
            await store.prepare()
    except (StoreUnavailable, TimeoutError) as error:
        log.warning("usage ledger: the database is away, rows wait in Valkey or on disk: %s", error)


async def _end(books: Books) -> None:
    try:
        async with asyncio.timeout(FLUSH_TIMEOUT_S):
            await books.close()
    except TimeoutError:
        log.error("usage ledger: rows in memory could not be written within %g s", FLUSH_TIMEOUT_S)  # noqa: TRY400


async def _replay(books: Books) -> None:
    await books.replay()
    await asyncio.sleep(REPLAY_EVERY_S)


async def _maintain(store: UsageStore, clock: Clock) -> None:
    wait_s = 1.0
    while True:
        try:
            await store.maintain(clock.now_s())
            wait_s = MAINTAIN_EVERY_S
        except StoreUnavailable as error:
            log.warning("usage ledger: partitions are not looked after: %s", error.message)
            wait_s = min(60.0, wait_s * 2)
        await asyncio.sleep(wait_s)


async def _tidy(stream: UsageStream) -> None:
    while True:
        try:
            if await stream.forgets_on_restart():
                log.warning(
                    "usage ledger: Valkey has no append-only file: if it restarts, usage that waits there is lost"
                )
            await stream.forget_consumers()
        except StoreUnavailable as error:
            log.warning("usage ledger: old consumers stay: %s", error.message)
        await asyncio.sleep(MAINTAIN_EVERY_S)
