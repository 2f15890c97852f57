"""Gateways as real processes that share one folder and one pair of stores: any of them can be killed and come back."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from trunkline_testkit.parts import free_port
from trunkline_testkit.processes import Running, fetch, sample, trunkline

ANSWERS_TIMEOUT_S = 45.0
_POLL_S = 0.05


class Member:
    """One gateway: always at the same address."""

    def __init__(self, folder: Path, tree: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._stack = ExitStack()
        self._running: Running | None = None
        self._file = folder / "trunkline.yaml"
        self.url = f"http://127.0.0.1:{free_port()}"
        self._metrics_url = f"http://127.0.0.1:{free_port()}"
        places = {
            "http": self.url.removeprefix("http://"),
            "grpc": "127.0.0.1:0",
            "metrics": self._metrics_url.removeprefix("http://"),
        }
        folder.mkdir(parents=True, exist_ok=True)
        self._file.write_bytes(msgspec.yaml.encode({**tree, "listen": places}))

    def start(self) -> None:
        """Does not wait until it answers."""
        command = trunkline(self._folder, "gateway", "--config", self._file, environment=self._environment)
        self._running = self._stack.enter_context(command)

    async def answers(self) -> None:
        """Return when it serves. Raises TimeoutError, and AssertionError for one that ended."""
        async with asyncio.timeout(ANSWERS_TIMEOUT_S), aiohttp.ClientSession() as http:
            while True:
                with suppress(aiohttp.ClientError):
                    async with http.get(f"{self.url}/livez") as reply:
                        if reply.status == 200:
                            return
                if self._running is not None and self._running.process.poll() is not None:
                    raise AssertionError(f"the gateway ended: {self._running.stderr}")
                await asyncio.sleep(_POLL_S)

    async def kill(self) -> None:
        """SIGKILL: it has no time to say or write anything."""
        if self._running is not None:
            self._running.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self._stack.close)
        self._running = None

    async def metric(self, name: str, labels: str = "") -> float:
        """A sample since it was last started."""
        page = await asyncio.to_thread(fetch, f"{self._metrics_url}/metrics")
        return sample(page.body.decode(), name, labels)


@asynccontextmanager
async def open_fleet(
    folder: Path, tree: Mapping[str, Any], environment: Mapping[str, str], size: int
) -> AsyncIterator[list[Member]]:
    """`size` gateways of one configuration, all serving; killed at the end."""
    members = [Member(folder / str(index), tree, environment) for index in range(size)]
    try:
        for member in members:
            member.start()
        for member in members:
            await member.answers()
        yield members
    finally:
        for member in members:
            await member.kill()
