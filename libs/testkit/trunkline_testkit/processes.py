"""`trunkline` as real processes: started, waited for, killed, and counted afterwards."""

import http.client
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import openai
import psutil
from msgspec import Struct

T = TypeVar("T")

TRUNKLINE = (sys.executable, "-m", "trunkline_standalone")
START_TIMEOUT_S = 45.0
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.05


def until(probe: Callable[[], T | None], timeout_s: float, what: str) -> T:
    """The first answer of `probe` that is true. Fails the test when there is none in time."""
    due_s = time.monotonic() + timeout_s
    while time.monotonic() < due_s:
        answer = probe()
        if answer:
            return answer
        time.sleep(_POLL_S)
    raise AssertionError(f"after {timeout_s:g} s still not: {what}")


class Running:
    """A `trunkline` process with its output in files."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self._out, self._err = folder / "stdout", folder / "stderr"

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    def wait_for(self, pattern: str, timeout_s: float = START_TIMEOUT_S) -> re.Match[str]:
        """Until standard output matches. Fails at once when the process ends before."""

        def found() -> re.Match[str] | None:
            match = re.search(pattern, self.stdout, re.MULTILINE)
            if match is None and self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.stderr}{self.stdout}")
            return match

        return until(found, timeout_s, f"{pattern!r} on standard output")

    def family(self) -> list[psutil.Process]:
        """The process and all its descendants."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait for its end; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT_S)


def is_gone(process: psutil.Process) -> bool:
    """Ended, or dead and only not yet collected by its new parent."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_gone(family: list[psutil.Process], timeout_s: float = STOP_TIMEOUT_S) -> None:
    until(lambda: all(map(is_gone, family)), timeout_s, f"gone: {family}")


@contextmanager
def trunkline(folder: Path, *arguments: str | Path, environment: dict[str, str]) -> Iterator[Running]:
    """`trunkline ARGUMENTS`, killed with all its children if the test leaves it running."""
    folder.mkdir(exist_ok=True)
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(
            [*TRUNKLINE, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment,
            cwd=folder,
        )
    running = Running(process, folder)
    family = running.family()
    try:
        yield running
    finally:
        if process.poll() is None:
            family = running.family()
            process.kill()
            process.wait(STOP_TIMEOUT_S)
        wait_gone(family)


class Up(Struct, frozen=True):
    """A running `trunkline up`."""

    running: Running
    home: Path
    url: str

    @property
    def key(self) -> str:
        return (self.home / "key").read_text()

    def client(self, key: str | None = None) -> openai.OpenAI:
        """The real SDK; retries would hide what a test looks for."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, max_retries=0, timeout=60)

    def async_client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, timeout=60)


StartUp = Callable[..., AbstractContextManager[Up]]


class Reply(Struct, frozen=True):
    """A raw HTTP answer."""

    status: int
    body: bytes


def fetch(url: str, body: bytes | None = None, key: str = "") -> Reply:
    """GET, or POST of a body, without any client library's help. Error statuses are answers too."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - addresses of this machine
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            return Reply(response.status, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.read())
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
        raise AssertionError(f"{url} does not answer: {error}") from error


def sample(page: str, name: str, labels: str = "") -> float:
    """One sample of a metrics page; 0 where there is none."""
    found = re.search(rf"^{re.escape(name + labels)} (\S+)$", page, re.MULTILINE)
    return float(found.group(1)) if found else 0.0
