import os
import signal
import subprocess
import sys

from trunkline_standalone.embedded import launch


def run(parent_pid: int, *command: str) -> subprocess.CompletedProcess[str]:
    ties = (parent_pid, int(signal.SIGTERM), os.geteuid(), os.getegid())
    script = (sys.executable, "-I", "-S", launch.__file__, *map(str, ties), *command)
    return subprocess.run(script, capture_output=True, text=True, check=False)


def test_it_becomes_the_command():
    assert run(os.getpid(), "/bin/echo", "hello there").stdout == "hello there\n"


def test_with_the_parent_gone_nothing_is_started():
    done = run(1 if os.getpid() != 1 else 2, "/bin/echo", "hello")
    assert done.returncode == 1
    assert done.stdout == ""


def test_another_user_is_taken_on_when_root():
    if os.geteuid() != 0:
        return
    ties = (os.getpid(), int(signal.SIGTERM), 65534, 65534)
    script = (sys.executable, "-I", "-S", launch.__file__, *map(str, ties), "/usr/bin/id", "-u")
    assert subprocess.run(script, capture_output=True, text=True, check=True).stdout == "65534\n"
