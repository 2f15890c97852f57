"""One gateway in front of every scenario at once, with a real database for its ledger."""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from trunkline_gateway.app import Gateway, open_gateway
from trunkline_gateway.config import GatewayConfig
from trunkline_kit.clock import SystemClock
from trunkline_kit.config import decode
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.secrets import Secret
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import Tracing
from trunkline_testkit.databases import new_database, running_postgres
from trunkline_testkit.fault_cells import Stage
from trunkline_testkit.faulty import FaultyProvider, open_faulty_provider
from trunkline_testkit.hearing import Surface

KEY = "tl-test-key"
ROWS_TIMEOUT_S = 10.0
ROWS = "SELECT * FROM usage_attempts WHERE request_id = ANY($1) ORDER BY request_id, attempt"


class Names:
    """Name resolution of this loop, without asking anybody about names that no one may have (RFC 2606)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._resolved = loop.getaddrinfo

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return await self._resolved(host, port, **options)


class Suite:
    """The gateway, who is behind it, and what it wrote down."""

    def __init__(
        self, gateway: Gateway, provider: FaultyProvider, http: aiohttp.ClientSession, database: asyncpg.Connection
    ) -> None:
        self.gateway = gateway
        self.provider = provider
        self.begun = asyncio.Event()
        """A test's answer has."""
        self._http = http
        self._database = database

    def ask(self, surface: Surface, model: str, *, stream: bool) -> Any:
        """One request, whose id is the model's name."""
        headers = {"authorization": f"Bearer {KEY}", "x-request-id": model}
        return self._http.post(
            self.gateway.address + surface.path, json=surface.asking(model, stream=stream), headers=headers
        )

    async def rows(self, expected: dict[str, int]) -> dict[str, list[asyncpg.Record]]:
        """The ledger's rows by request id, once there are as many as expected of each."""
        async with asyncio.timeout(ROWS_TIMEOUT_S):
            while True:
                found: dict[str, list[asyncpg.Record]] = {name: [] for name in expected}
                for row in await self._database.fetch(ROWS, list(expected)):
                    found[row["request_id"]].append(row)
                if all(len(rows) >= expected[name] for name, rows in found.items()):
                    return found
                await asyncio.sleep(0.005)


@pytest.fixture(scope="package")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_postgres(tmp_path_factory.mktemp("faults-pg")) as url:
        yield url


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def suite(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Suite]:
    loop = asyncio.get_running_loop()
    loop.getaddrinfo = Names(loop).getaddrinfo  # type: ignore[method-assign]  # of this loop only
    stage = Stage()
    database = await new_database(postgres)
    kit = Kit(net=Net(), clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})
    async with open_faulty_provider(stage.play) as provider:
        tree = {
            **stage.tree(provider.address),
            "listen": {"http": "127.0.0.1:0", "grpc": "127.0.0.1:0"},
            "keys": [{"id": "test", "secret": f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"}],
            "ledger": {"spool_dir": str(tmp_path_factory.mktemp("faults-spool"))},
        }
        config = GatewayConfig.from_settings(decode(tree, Settings), database=Secret(database))
        async with open_gateway(config, kit) as gateway, aiohttp.ClientSession() as http:
            connection = await asyncpg.connect(database)
            try:
                yield Suite(gateway, provider, http, connection)
            finally:
                await connection.close()
