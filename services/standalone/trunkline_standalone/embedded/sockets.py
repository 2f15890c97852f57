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


@contextmanager
def open_sockets(home: Path, runtime_folder: str) -> Iterator[Path]:
    """`trunkline-<user>-<hash of home>` for the block,, in `runtime_folder` or where temporary files go.

    What a killed run left there is removed. Raises Unavailable if somebody else has put something under that name.
    """
    is_root = os.geteuid() == 0
    parent = Path(runtime_folder) if runtime_folder and not is_root else Path(tempfile.gettempdir())
    digest = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:_DIGITS]
    folder = parent / f"trunkline-{os.geteuid()}-{digest}"
    _remove(folder)
    folder.mkdir(mode=PRIVATE)
    try:
        folder.chmod(PASSABLE if is_root else PRIVATE)
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
