import os
import stat
import subprocess
import sys

import pytest

from trunkline_kit.errors import ConfigError, Conflict, Unavailable
from trunkline_standalone.home import Home, announced, locked, make_home, make_private_folder, require_space

HOLD = """
import sys
from pathlib import Path
from trunkline_standalone.home import locked, make_home
with locked(make_home(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_is_for_its_owner_only(tmp_path):
    home = make_home(tmp_path / "deep" / "home")
    assert mode(home.path) == 0o700
    assert mode(home.logs) == 0o700


def test_an_open_home_is_closed(tmp_path):
    tmp_path.chmod(0o755)
    assert mode(make_home(tmp_path).path) == 0o700


def test_a_tilde_is_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert make_home(type(tmp_path)("~/.trunkline")).path == tmp_path / ".trunkline"


def test_a_file_in_its_place_is_said(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(ConfigError, match="--home"):
        make_home(tmp_path / "home")


def test_the_lock_holds_the_pid_and_is_free_afterwards(tmp_path):
    home = make_home(tmp_path)
    with locked(home):
        assert home.lock_file.read_text() == f"{os.getpid()}\n"
    with locked(home):
        pass


def test_another_process_is_refused_with_our_pid(tmp_path):
    with locked(make_home(tmp_path)):
        done = subprocess.run([sys.executable, "-c", HOLD, tmp_path], capture_output=True, text=True, check=False)
    assert f"(pid {os.getpid()})" in done.stderr


def test_a_killed_holder_leaves_no_lock(tmp_path):
    command = [sys.executable, "-c", HOLD, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Conflict, match=f"pid {holder.pid}"), locked(make_home(tmp_path)):
            pass
        holder.kill()
        holder.wait(10)
    with locked(make_home(tmp_path)):
        pass


def test_space(tmp_path):
    require_space(Home(tmp_path), 1)
    with pytest.raises(Unavailable, match=r"needs \d+ MiB of free disk and has \d+"):
        require_space(Home(tmp_path), 1 << 60)


def test_private_folder_is_made_once_and_closed(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    make_private_folder(folder)
    assert mode(folder) == 0o700


def test_the_url_is_there_while_the_gateway_is(tmp_path):
    home = make_home(tmp_path)
    with announced(home, "http://127.0.0.1:1234"):
        assert home.url_file.read_text() == "http://127.0.0.1:1234\n"
    assert not home.url_file.exists()
    with pytest.raises(ValueError, match="x"), announced(home, "http://127.0.0.1:1"):
        raise ValueError("x")
    assert [path.name for path in home.path.iterdir() if "url" in path.name] == []
