"""The folder for Unix sockets: short enough for their 107 bytes, closed to other users, the same at every start."""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trunkline_kit.errors import Unavailable

_DIGITS = 12
PRIVATE = 0o700
PASSABLE = 0o711
"""As root the folder must let Postgres's own user through, which may not list it."""


def sockets_folder(home: Path, runtime_folder: str) -> Path:
    """`trunkline-<user>-<hash of home>`, in `runtime_folder` or where temporary files go; there while `up` runs."""
    is_root = os.geteuid() == 0
    parent = Path(runtime_folder) if runtime_folder and not is_root else Path(tempfile.gettempdir())
    digest = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:_DIGITS]
    return parent / f"trunkline-{os.geteuid()}-{digest}"


@contextmanager
def open_sockets(home: Path, runtime_folder: str) -> Iterator[Path]:
    """The folder for the block.

    What a killed run left there is removed. Raises Unavailable if somebody else has put something under that name.
    """
    folder = sockets_folder(home, runtime_folder)
    _remove(folder)
    folder.mkdir(mode=PRIVATE)
    try:
        folder.chmod(PASSABLE if os.geteuid() == 0 else PRIVATE)
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """What an earlier run left. Never follows a link, never touches what is not ours."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        raise Unavailable(f"{folder} belongs to another user; remove it, or set TMPDIR to a folder of your own")
    shutil.rmtree(folder)
