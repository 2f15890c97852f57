"""manifest.json: what a prepared folder holds, so that damage is found before it is served."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from trunkline_kit.errors import ModelError
from trunkline_worker.catalogue import ModelKind
from trunkline_worker.convert.precision import Precision

MANIFEST = "manifest.json"
CONVERTER_VERSION = 5
"""Raised whenever the converter writes different graphs, so that folders of an older one are prepared anew."""
_READ_BYTES = 1 << 20


class FileRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Written last, so a folder with a manifest was complete when it was made."""

    model: str
    kind: ModelKind
    variant: Precision
    licence: str = ""
    package: str = ""
    """Of the catalogue's models, with the next two: where the weights came from."""
    version: str = ""
    wheel_sha256: str = ""
    converter_version: int
    files: tuple[FileRecord, ...]
    source: str = ""
    """Of all others: the name of the file or folder that it was made from."""
    source_sha256: str = ""
    """Over everything that it was made from, adapters included."""
    adapters: tuple[str, ...] = ()
    """Names of the LoRA folders that are merged into it."""

    @property
    def revision(self) -> str:
        return revision_of(self.files)

    @property
    def remedy(self) -> str:
        """What to do when the folder is not as it was."""
        if self.source:
            return f"prepare it again from {self.source} with `trunkline models prepare`"
        return f"run `trunkline models prepare {self.model}` again"

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def revision_of(files: Iterable[FileRecord]) -> str:
    """12 hex digits that change whenever a file does."""
    lines = sorted(f"{file.name} {file.sha256}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def sha256_of(path: Path) -> str:
    """Digest of a file in bounded memory; about 0.1 s for 150 MB where the CPU has SHA instructions."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def record_of(path: Path) -> FileRecord:
    return FileRecord(name=path.name, size_bytes=path.stat().st_size, sha256=sha256_of(path))


def records_of(folder: Path) -> tuple[FileRecord, ...]:
    """Every file of `folder` but the manifest, by name."""
    paths = sorted(path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    return tuple(record_of(path) for path in paths)


def read_manifest(folder: Path) -> Manifest:
    """Raises ModelError if there is none or it is broken."""
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise ModelError(f"{folder} has no {MANIFEST}; run `trunkline models prepare` again") from error
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"{path} is damaged ({error}); run `trunkline models prepare` again") from error


def write_manifest(manifest: Manifest, folder: Path) -> None:
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def check_files(manifest: Manifest, folder: Path) -> None:
    """Compare every file's size and digest. Raises ModelError naming the first that differs."""
    for file in manifest.files:
        path = folder / file.name
        if not path.is_file():
            raise ModelError(f"{path} is missing; {manifest.remedy}")
        if path.stat().st_size != file.size_bytes or sha256_of(path) != file.sha256:
            raise ModelError(f"{path} is damaged; {manifest.remedy}")
