import os
import signal
import sys

import psutil
import pytest

from trunkline_kit.errors import Unavailable
from trunkline_standalone.embedded.account import own_account
from trunkline_standalone.embedded.child import (
    Command,
    end_left_over,
    finish,
    open_child,
    processes_in,
    start,
    wait_ready,
)
from trunkline_testkit.processes import is_gone

WAIT = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); signal.pause()"
)
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
)


@pytest.fixture
def command(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()

    def made(code: str, **changes) -> Command:
        given = {
            "name": "Thing",
            "arguments": (sys.executable, "-c", code),
            "folder": folder,
            "log_file": tmp_path / "log",
            "account": own_account(),
            "stop_signal": signal.SIGTERM,
            "stop_timeout_s": 10.0,
        }
        return Command(**given | changes)

    return made


async def ready(process, command) -> None:
    async def is_up() -> bool:
        return "up" in command.log_file.read_text()

    await wait_ready(process, command, is_up, 10)


async def test_it_runs_for_the_block_and_is_asked_to_stop(command):
    wanted = command(WAIT)
    async with open_child(wanted) as process:
        await ready(process, wanted)
        assert processes_in(wanted.folder) == [process.pid]
    assert process.returncode == 0
    assert processes_in(wanted.folder) == []


async def test_what_does_not_listen_is_killed(command):
    wanted = command(STUBBORN, stop_timeout_s=0.2)
    async with open_child(wanted) as process:
        await ready(process, wanted)
    assert process.returncode == -signal.SIGKILL


async def test_it_has_a_session_of_its_own(command):
    """So Ctrl-C on the terminal reaches us, and not our stores behind our back."""
    wanted = command(WAIT)
    async with open_child(wanted) as process:
        await ready(process, wanted)
        assert os.getsid(process.pid) == process.pid != os.getsid(0)


async def test_it_dies_with_its_parent(command, tmp_path):
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import asyncio, signal, sys\n"
        "from pathlib import Path\n"
        "from trunkline_standalone.embedded.account import own_account\n"
        "from trunkline_standalone.embedded.child import Command, start\n"
        "async def main():\n"
        "    process = await start(Command(name='x', arguments=('/bin/sleep', '60'), folder=Path(sys.argv[1]),\n"
        "        log_file=Path(sys.argv[1]) / 'inner', account=own_account(), stop_signal=signal.SIGTERM))\n"
        "    print('up', flush=True)\n"
        "    await process.wait()\n"
        "asyncio.run(main())\n"
    )
    wanted = command("", arguments=(sys.executable, str(parent), str(command("").folder)))
    process = await start(wanted)
    await ready(process, wanted)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) == 1
    process.kill()
    await process.wait()
    await end_left_over(wanted.folder, timeout_s=5)
    assert all(map(is_gone, family))


async def test_left_overs_are_waited_for_and_then_killed(command):
    wanted = command(STUBBORN)
    process = await start(wanted)
    await ready(process, wanted)
    await end_left_over(wanted.folder, timeout_s=0.1)
    assert await process.wait() == -signal.SIGKILL


async def test_a_failed_start_is_told_in_its_own_words(command):
    wanted = command("import sys; print('LOG: hello'); print('FATAL: no room'); print('LOG: bye'); sys.exit(3)")
    with pytest.raises(Unavailable, match=r"Thing does not start: FATAL: no room \(see .*log\)"):
        await finish(wanted, 10)


async def test_what_ends_well_is_no_error(command):
    await finish(command("print('done')"), 10)


async def test_what_does_not_end_is_stopped(command):
    with pytest.raises(Unavailable, match="did not end within"):
        await finish(command(WAIT), 0.2)


async def test_waiting_ends_when_the_process_does(command):
    async def never() -> bool:
        return False

    wanted = command("print('error: bad luck')")
    async with open_child(wanted) as process:
        with pytest.raises(Unavailable, match="bad luck"):
            await wait_ready(process, wanted, never, 10)


async def test_waiting_ends_in_time(command):
    async def never() -> bool:
        return False

    wanted = command(WAIT)
    async with open_child(wanted) as process:
        with pytest.raises(Unavailable, match="does not answer after"):
            await wait_ready(process, wanted, never, 0.1)


async def test_a_large_log_is_set_aside(command):
    wanted = command("print('new')")
    wanted.log_file.write_bytes(b"x" * (9 << 20))
    await finish(wanted, 10)
    assert wanted.log_file.read_text() == "new\n"
    assert wanted.log_file.with_name("log.1").stat().st_size == 9 << 20
