"""The home folder of one installation: who may use it, what lies where."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from trunkline_kit.errors import ConfigError, Conflict, Unavailable

MEBIBYTE = 1 << 20
PRIVATE_FOLDER = 0o700


class Home(Struct, frozen=True):
    """Paths inside the folder. All of it can be deleted when nothing runs; models are then prepared anew."""

    path: Path

    @property
    def key_file(self) -> Path:
        return self.path / "key"

    @property
    def pepper_file(self) -> Path:
        return self.path / "pepper"

    @property
    def url_file(self) -> Path:
        """Where the gateway of this home is reached; only there while it runs."""
        return self.path / "url"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def log_file(self) -> Path:
        return self.logs / "trunkline.log"

    @property
    def valkey(self) -> Path:
        return self.path / "valkey"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"


def make_home(path: Path) -> Home:
    """Create the folder, for its owner only, if it is not there. Raises ConfigError where that is impossible."""
    home = Home(path.expanduser().absolute())
    try:
        home.path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        home.path.chmod(PRIVATE_FOLDER)
        home.logs.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Unavailable(f"the disk of {home.path} is full; free some space or use --home") from error
        raise ConfigError(f"cannot use {home.path} as home: {error.strerror}; choose another with --home") from error
    return home


def make_private_folder(path: Path) -> None:
    """For its owner only; its parent is there."""
    path.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    path.chmod(PRIVATE_FOLDER)


@contextmanager
def locked(home: Home) -> Iterator[None]:
    """Hold the home for the block; the system lets go of it however the process ends. Raises Conflict."""
    descriptor = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise Conflict(f"another trunkline runs on {home.path} (pid {holder}); stop it or use --home") from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


@contextmanager
def announced(home: Home, url: str) -> Iterator[None]:
    """Let the commands of this home find the gateway for the block, whatever its port."""
    draft = home.url_file.with_name(".url.draft")
    draft.write_text(f"{url}\n")
    draft.replace(home.url_file)
    try:
        yield
    finally:
        home.url_file.unlink(missing_ok=True)


def require_space(home: Home, needed_bytes: int) -> None:
    """Raise Unavailable when the disk of `home` has less than `needed_bytes` free."""
    free_bytes = shutil.disk_usage(home.path).free
    if free_bytes < needed_bytes:
        raise Unavailable(
            f"{home.path} needs {-(-needed_bytes // MEBIBYTE)} MiB of free disk and has {free_bytes // MEBIBYTE};"
            " free some space or use --home"
        )
