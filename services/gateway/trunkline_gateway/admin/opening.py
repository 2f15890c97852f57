"""The admin API of a gateway, put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from trunkline_gateway.admin.routes import AdminParts
from trunkline_gateway.admin.spending import Spending
from trunkline_gateway.admin.usage import Reports
from trunkline_gateway.directory.registry import Registry
from trunkline_kit.clock import Clock
from trunkline_kit.secrets import Secret
from trunkline_kit.stores.postgres import PostgresOptions, open_postgres

CONNECTIONS = 2
"""For reports, which may take long: they must not keep anything else from a connection."""
REPORT_TIMEOUT_S = 60.0


@asynccontextmanager
async def open_admin(
    registry: Registry, spending: Spending, database: Secret | None, clock: Clock
) -> AsyncIterator[AdminParts]:
    """Raises ConfigError for a URL that makes no sense; nothing is dialled before the first report."""
    async with AsyncExitStack() as stack:
        pool = None
        if database is not None:
            options = PostgresOptions(connections=CONNECTIONS, command_timeout_s=REPORT_TIMEOUT_S)
            pool = await stack.enter_async_context(open_postgres(database.reveal(), options))
        yield AdminParts(registry=registry, spending=spending, reports=Reports(pool, clock), clock=clock)
