"""A server as a child process: started through `launch.py`, stopped gently, never outliving this process."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from trunkline_kit.errors import Unavailable
from trunkline_standalone.embedded import launch
from trunkline_standalone.embedded.account import Account

_POLL_S = 0.02
_LOG_BYTES_MAX = 8 << 20
"""A larger log is set aside at the next start, in place of the one before."""


class Command(Struct, frozen=True, kw_only=True):
    """What to run, where and as whom."""

    name: str
    """For people, e.g. `Postgres`."""
    arguments: tuple[str, ...]
    """The first is the executable's path."""
    folder: Path
    """Working folder; also how processes of an earlier run are recognised."""
    log_file: Path
    account: Account
    stop_signal: signal.Signals
    stop_timeout_s: float = 10.0


@asynccontextmanager
async def open_child(command: Command) -> AsyncIterator[Process]:
    """Run it until the block ends, then send `stop_signal`, and SIGKILL to all of it after `stop_timeout_s`."""
    process = await start(command)
    try:
        yield process
    finally:
        await _stop(process, command)


async def start(command: Command) -> Process:
    """Start it, with its output in `log_file`."""
    _set_aside(command.log_file)
    account = command.account
    launcher = (sys.executable, "-I", "-S", launch.__file__)
    ties = (os.getpid(), int(command.stop_signal), account.uid, account.gid)
    descriptor = os.open(command.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return await asyncio.create_subprocess_exec(
            *launcher,
            *(str(number) for number in ties),
            *command.arguments,
            cwd=command.folder,
            stdin=DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
        )
    finally:
        os.close(descriptor)


async def finish(command: Command, timeout_s: float) -> None:
    """Run something that ends by itself. Raises Unavailable with the end of its output if it fails."""
    process = await start(command)
    try:
        async with asyncio.timeout(timeout_s):
            code = await process.wait()
    except TimeoutError as error:
        raise Unavailable(f"{command.name} did not end within {timeout_s:g} s; see {command.log_file}") from error
    finally:
        await _stop(process, command)
    if code != 0:
        raise failure(command)


def failure(command: Command) -> Unavailable:
    """Why it did not start, in the last line it wrote."""
    text = command.log_file.read_text(errors="replace") if command.log_file.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()] or ["it said nothing"]
    telling = [line for line in lines[-20:] if "FATAL" in line or "error" in line.lower()]
    return Unavailable(f"{command.name} does not start: {(telling or lines)[-1].strip()} (see {command.log_file})")


async def wait_ready(
    process: Process, command: Command, is_ready: Callable[[], Awaitable[bool]], timeout_s: float
) -> None:
    """Ask until it answers. Raises Unavailable when it ends or does not answer in time."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await is_ready():
                if process.returncode is not None:
                    raise failure(command)
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise Unavailable(f"{command.name} does not answer after {timeout_s:g} s; see {command.log_file}") from error


async def end_left_over(folder: Path, timeout_s: float = 10.0) -> None:
    """Wait for processes of an earlier run in `folder` to end; SIGKILL what has not after `timeout_s`.

    Only for whoever holds the home's lock: then nobody else can have started them on purpose.
    """
    loop = asyncio.get_running_loop()
    due_s = loop.time() + timeout_s
    while left := processes_in(folder):
        if loop.time() > due_s:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(_POLL_S)


def processes_in(folder: Path) -> list[int]:
    """Processes whose working folder is `folder`; none where the system has no /proc."""
    wanted = str(folder.resolve())
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _folder_of(entry) == wanted]


def _folder_of(entry: Path) -> str:
    try:
        return str((entry / "cwd").readlink())
    except OSError:
        return ""


async def _stop(process: Process, command: Command) -> None:
    """Gently, then by force. A second cancellation while waiting is force at once."""
    if process.returncode is not None:
        return
    try:
        process.send_signal(command.stop_signal)
        async with asyncio.timeout(command.stop_timeout_s):
            await process.wait()
    except ProcessLookupError:
        return
    except TimeoutError:
        await _kill(process)
    except asyncio.CancelledError:
        await _kill(process)
        raise


async def _kill(process: Process) -> None:
    """The whole session: a server's own children share it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    await process.wait()


def _set_aside(log_file: Path) -> None:
    if log_file.exists() and log_file.stat().st_size > _LOG_BYTES_MAX:
        log_file.replace(log_file.with_name(f"{log_file.name}.1"))
