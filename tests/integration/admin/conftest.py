"""The admin API of a real gateway over a real Postgres, with a database of its own for each test."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.app import Gateway, open_gateway
from trunkline_gateway.config import GatewayConfig
from trunkline_kit.clock import SystemClock
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import Tracing
from trunkline_testkit.databases import new_database, running_postgres

ROLES = {
    "writer": ["admin:write"],
    "reader": ["admin:read"],
    "caller": ["inference"],
    "meter": ["metrics"],
    "nobody": [],
}
"""Keys of the configuration file, by their scopes; the secret of each is `tl-` and its name."""
TREE: dict[str, Any] = {
    "identity": {"pepper": "env:PEPPER"},
    "providers": {"up": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"}},
    "models": {
        "fake": {"deployments": [{"provider": "up", "model": "x"}]},
        "org/fake": {
            "deployments": [{"provider": "up", "model": "y"}],
            "budgets": [{"amount_usd": 7, "period": "day"}],
        },
    },
    "prices": {"overrides": [{"provider": "up", "input_usd": 1}]},
    "orgs": {"acme": {}},
    "teams": {"filed": {"org": "acme", "limits": [{"requests": 100, "per_s": 60}]}},
}


class Admin:
    """A gateway and whoever asks its admin API."""

    def __init__(self, gateway: Gateway, net: Net, http: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.url = gateway.address
        self.net = net
        self.http = http

    async def ask(
        self, method: str, path: str, body: Any = None, *, role: str | None = "writer", **headers: str
    ) -> aiohttp.ClientResponse:
        """`headers` with underscores for dashes. The answer is read."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            given["authorization"] = f"Bearer tl-{role}"
        options = {"json": body} if body is not None else {}
        return await self.raw(method, path, headers=given, **options)

    async def raw(self, method: str, path: str, **options: Any) -> aiohttp.ClientResponse:
        """As it is given. The answer is read."""
        async with self.http.request(method, f"{self.url}/admin/v1{path}", **options) as reply:
            await reply.read()
            return reply

    async def done(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The answer to what must succeed."""
        reply = await self.ask(method, path, body, **more)
        assert reply.status < 300, await reply.text()
        return await reply.json() if reply.status != 204 else None

    async def refused(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str, str | None]:
        """Status, code and param of what must fail, in the one shape of errors."""
        reply = await self.ask(method, path, body, **more)
        assert reply.status >= 400, await reply.text()
        assert reply.content_type == "application/json"
        error = (await reply.json())["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return reply.status, error["code"], error["param"]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_postgres(tmp_path_factory.mktemp("admin-pg")) as url:
        yield url


OpenAdmin = Callable[..., Any]


@pytest.fixture
def open_admin(
    postgres: str, settings_of: Callable[[dict[str, Any]], Settings], key_entry: Callable[..., dict[str, Any]]
) -> OpenAdmin:
    """`async with open_admin(**more settings) as admin`, for tests that bring their own loop, or want another file."""

    @asynccontextmanager
    async def opened(**more: Any) -> AsyncIterator[Admin]:
        keys = [key_entry(name, f"tl-{name}", scopes=scopes) for name, scopes in ROLES.items()]
        stores = {"stores": {"database": await new_database(postgres)}}
        settings = settings_of({**TREE, "keys": keys, **stores, **more})
        net = Net()
        kit = Kit(
            net=net,
            clock=SystemClock(),
            tracing=Tracing(),
            metrics=CollectorRegistry(),
            environment={"PEPPER": "p" * 40},
        )
        async with (
            open_gateway(GatewayConfig.from_settings(settings), kit) as gateway,
            aiohttp.ClientSession() as http,
        ):
            yield Admin(gateway, net, http)

    return opened


@pytest.fixture
async def admin(open_admin: OpenAdmin) -> AsyncIterator[Admin]:
    async with open_admin() as opened:
        yield opened


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder as `trunkline up` leaves it, for commands."""
    (tmp_path / "key").write_text("tl-writer\n")
    return tmp_path
