"""The directory of a gateway, put together."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

from msgspec import Struct

from trunkline_gateway.directory.listening import listen
from trunkline_gateway.directory.mirror import Mirror
from trunkline_gateway.directory.store import DirectoryStore
from trunkline_kit.clock import Clock
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.identity import Identity
from trunkline_kit.lifecycle import background
from trunkline_kit.secrets import Secret
from trunkline_kit.stores.postgres import PostgresOptions, open_postgres

log = logging.getLogger(__name__)

LOAD_TIMEOUT_S = 5.0
"""At the start; a database that is away does not keep the gateway from serving what the file declares."""
CONNECTIONS = 6
"""One listens, one asks for changes; the others are for the admin API."""
HEARD_S = 5.0
"""A database that has not answered for so long is away."""
TIDY_EVERY_S = 6 * 3600.0
_TIDY_RETRY_S = 60.0


class DirectoryOptions(Struct, frozen=True, kw_only=True):
    """What a directory is made of."""

    database: Secret
    identity: Identity = Identity()
    may_migrate: bool = True


class Directory(Struct, frozen=True):
    """The store, and this process's mirror of it."""

    store: DirectoryStore
    mirror: Mirror


@asynccontextmanager
async def open_directory(options: DirectoryOptions, clock: Clock) -> AsyncIterator[Directory]:
    """Load what there is; follow it with `mirror.following`.

    Raises ConfigError for a URL that makes no sense and for a schema that is not ours; a database that is away is no
    error.
    """
    identity = options.identity
    async with AsyncExitStack() as stack:
        pool_options = PostgresOptions(connections=CONNECTIONS)
        pool = await stack.enter_async_context(open_postgres(options.database.reveal(), pool_options))
        store = DirectoryStore(pool, may_migrate=options.may_migrate)
        mirror = Mirror(store, clock, poll_s=identity.poll_s, listen=partial(listen, store.database))
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                await store.prepare()
                await mirror.load()
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("directory: keys made at run time are unknown until the database answers: %s", error)
        if identity.audit_retention_days is not None:
            age = timedelta(days=identity.audit_retention_days)
            await stack.enter_async_context(background(_drop_audit(store, age)))
        yield Directory(store, mirror)


class MirroredKeys:
    """How well this gateway knows the keys that are made at run time."""

    def __init__(self, mirror: Mirror, stale_s: float) -> None:
        self._mirror = mirror
        self.stale_s = stale_s
        """See identity.stale_s; another after a reload of the configuration."""

    def missing(self) -> str:
        """Why a key that it does not know may be a good one; empty where it cannot be."""
        if not self._mirror.loaded:
            return "the database of keys does not answer yet, so this key may be a good one; try again"
        if self._mirror.age_s > HEARD_S:
            return "the database of keys does not answer, so this key may be a new one; try again"
        return ""

    def outdated(self) -> str:
        """Why those that it knows are not to be honoured any more; empty where they are."""
        if self._mirror.age_s <= self.stale_s:
            return ""
        return "the database of keys has not answered for too long to be sure that this key still holds; try again"


async def _drop_audit(store: DirectoryStore, age: timedelta) -> None:
    while True:
        wait_s = TIDY_EVERY_S
        try:
            for name in await store.drop_audit(age):
                log.info("directory: dropped %s of the audit log, which is past identity.audit_retention_days", name)
        except StoreUnavailable as error:
            log.warning("directory: old months of the audit log stay: %s", error.message)
            wait_s = _TIDY_RETRY_S
        await asyncio.sleep(wait_s)
