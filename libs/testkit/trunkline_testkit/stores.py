"""A real Valkey and a real Postgres that a test can kill and start again at the same address."""

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from trunkline_standalone.embedded.child import processes_in
from trunkline_standalone.embedded.postgres import open_postgres_server
from trunkline_standalone.embedded.valkey import open_valkey_server

OpenServer = Callable[[Path, Path, Path], AbstractAsyncContextManager[str]]
"""Serves data, with a log file, from a folder for sockets; yields the URL."""


class Killable:
    """One server. Its data survive, as far as the server itself sees to it."""

    def __init__(self, open_server: OpenServer, data: Path, sockets: Path) -> None:
        self._open = open_server
        self._data = data
        self._sockets = sockets
        self._stack = AsyncExitStack()
        self.url = ""

    async def start(self) -> None:
        """Return when it answers."""
        log_file = self._data.with_suffix(".log")
        self.url = await self._stack.enter_async_context(self._open(self._data, log_file, self._sockets))

    async def kill(self) -> None:
        """SIGKILL to everything that works in its folder."""
        for pid in processes_in(self._data):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.stop()
        _remove_sockets(self._sockets, self._data.name)

    async def stop(self) -> None:
        await self._stack.aclose()
        self._stack = AsyncExitStack()


def _remove_sockets(folder: Path, name: str) -> None:
    """What a killed server leaves: the next one takes nothing for its own that is there already."""
    (folder / f"{name}.sock").unlink(missing_ok=True)
    if (folder / name).is_dir():
        for left in (folder / name).iterdir():
            left.unlink()
        (folder / name).rmdir()


@asynccontextmanager
async def open_killable_stores(folder: Path) -> AsyncIterator[tuple[Killable, Killable]]:
    """Valkey and Postgres, started, with their data in `folder`."""
    with tempfile.TemporaryDirectory(prefix="tl-") as short:
        # Unix sockets have short names, and Postgres may run as another user.
        os.chmod(short, 0o711)  # noqa: PTH101, S103 - a folder just made, which lists nothing
        valkey = Killable(open_valkey_server, folder / "valkey", Path(short))
        postgres = Killable(open_postgres_server, folder / "postgres", Path(short))
        async with AsyncExitStack() as stack:
            for server in (valkey, postgres):
                await server.start()
                stack.push_async_callback(server.stop)
            yield valkey, postgres
