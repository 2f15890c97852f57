"""The directory as the gateway uses it: with a database or without one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from msgspec import Struct

from trunkline_gateway.callers import NoStoredKeys, StoredKeys
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.directory.declared import declared_of
from trunkline_gateway.directory.mirror import Mirror
from trunkline_gateway.directory.opening import HEARD_S, DirectoryOptions, MirroredKeys, open_directory
from trunkline_gateway.directory.registry import Parts, Registry
from trunkline_gateway.directory.snapshot import Snapshot
from trunkline_gateway.hashing import Hasher
from trunkline_kit.clock import Clock
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.secrets import Secret

NOTHING_MADE = Snapshot()


class Managed(Struct, frozen=True, kw_only=True):
    """Everything that can be managed at run time."""

    registry: Registry
    stored: StoredKeys
    mirror: Mirror | None

    @property
    def snapshot(self) -> Snapshot:
        """What was made at run time, as this gateway knows it."""
        return NOTHING_MADE if self.mirror is None else self.mirror.snapshot

    def following(self, take: Callable[[Snapshot], Awaitable[None]]) -> AbstractAsyncContextManager[None]:
        """Call `take` with every change until the block ends."""
        return nullcontext() if self.mirror is None else self.mirror.following(take)

    def apply(self, config: GatewayConfig) -> None:
        """Another configuration is in force."""
        self.registry.swap(declared_of(config), rotation_overlap_s=config.identity.rotation_overlap_s)
        if isinstance(self.stored, MirroredKeys):
            self.stored.stale_s = config.identity.stale_s

    async def check(self) -> str:
        """For readiness. Raises StoreUnavailable."""
        if self.mirror is None:
            return "no stores.database: only what the file declares"
        if not self.mirror.loaded or (why := self.stored.outdated()):
            raise StoreUnavailable(why if self.mirror.loaded else self.stored.missing())
        if self.mirror.age_s > HEARD_S:
            raise StoreUnavailable(f"the database was last heard {self.mirror.age_s:.0f} s ago; its keys still count")
        return f"revision {self.mirror.snapshot.revision}"


@asynccontextmanager
async def open_managed(
    config: GatewayConfig, database: Secret | None, hasher: Hasher, clock: Clock
) -> AsyncIterator[Managed]:
    """Raises ConfigError for a database that is not ours; one that is away is no error."""
    declared, overlap_s = declared_of(config), config.identity.rotation_overlap_s
    if database is None:
        parts = Parts(store=None, mirror=None, make_secret=hasher.new_secret, clock=clock)
        registry = Registry(declared, parts, rotation_overlap_s=overlap_s)
        yield Managed(registry=registry, stored=NoStoredKeys(), mirror=None)
        return
    options = DirectoryOptions(database=database, identity=config.identity, may_migrate=config.ledger.migrate)
    async with open_directory(options, clock) as directory:
        parts = Parts(store=directory.store, mirror=directory.mirror, make_secret=hasher.new_secret, clock=clock)
        registry = Registry(declared, parts, rotation_overlap_s=overlap_s)
        stored = MirroredKeys(directory.mirror, config.identity.stale_s)
        yield Managed(registry=registry, stored=stored, mirror=directory.mirror)
