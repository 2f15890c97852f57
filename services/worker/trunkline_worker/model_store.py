"""Where prepared models live: `<home>/models/<name>/<variant>/`, and how one is found, verified and opened."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from trunkline_kit.errors import ModelError, TrunklineError
from trunkline_worker.catalogue import CatalogueModel, ModelKind, find_model, in_catalogue
from trunkline_worker.convert.origin import Origin
from trunkline_worker.convert.precision import Precision
from trunkline_worker.genai_config import GenaiConfig, read_genai_config
from trunkline_worker.manifest import (
    CONVERTER_VERSION,
    MANIFEST,
    Manifest,
    check_files,
    read_manifest,
    records_of,
    revision_of,
)

_OWN_FOLDER = "path:"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(\+[a-z0-9][a-z0-9._-]{0,63})*")
"""Of a model: also its folder's name, and part of an address. What follows a plus is merged into it."""
_PREFERRED = (Precision.Q8, Precision.Q4, Precision.F16, Precision.F32)
"""Which variant a model of one's own is opened in when nobody says."""


class ModelFolder(Struct, frozen=True, kw_only=True):
    """A folder that was checked and may be loaded."""

    name: str
    path: Path
    kind: ModelKind
    variant: str
    licence: str
    revision: str
    """Changes whenever a file of the folder does."""
    config: GenaiConfig


class ListedModel(Struct, frozen=True, kw_only=True):
    """One line of `trunkline models list`."""

    name: str
    variant: str
    kind: ModelKind
    licence: str
    size_bytes: int
    path: Path
    problem: str = ""
    """Empty when the folder is complete; a full check is `verify`."""


def models_folder(home: Path) -> Path:
    return home / "models"


def variant_folder(home: Path, model: CatalogueModel, variant: Precision) -> Path:
    return named_folder(home, model.name, variant)


def named_folder(home: Path, name: str, variant: Precision) -> Path:
    """Of a model of the catalogue or one's own."""
    return models_folder(home) / name / variant.value


def own_variants(home: Path, name: str) -> tuple[Precision, ...]:
    """In which variants a model that is not of the catalogue is prepared, the preferred one first."""
    if not NAME.fullmatch(name) or in_catalogue(name):
        return ()
    return tuple(one for one in _PREFERRED if (named_folder(home, name, one) / MANIFEST).is_file())


def require_known(home: Path, name: str) -> None:
    """Raises ModelNotFound unless the catalogue has the model or it is prepared."""
    if not own_variants(home, name):
        find_model(name)


def open_model(home: Path, name: str, variant: Precision | None = None) -> ModelFolder:
    """Check a prepared model, or a folder of one's own given as `path:FOLDER`, and describe it.

    Every file is read and its SHA-256 compared: with the file in the page cache this takes about 0.1 s for 150 MB,
    and the session would read the same bytes a moment later anyway. Raises ModelNotFound, ModelError.
    """
    if name.startswith(_OWN_FOLDER):
        return _open_own(Path(name.removeprefix(_OWN_FOLDER)).expanduser())
    folder = _prepared_folder(home, name, variant)
    manifest = _check(folder, name)
    return ModelFolder(
        name=name,
        path=folder,
        kind=manifest.kind,
        variant=manifest.variant.value,
        licence=manifest.licence,
        revision=manifest.revision,
        config=read_genai_config(folder),
    )


def verify(home: Path, name: str, variant: Precision | None = None) -> ModelFolder:
    """The check of every start, on demand. Raises ModelNotFound, ModelError naming the file that is damaged."""
    return open_model(home, name, variant)


def is_prepared(home: Path, model: CatalogueModel, variant: Precision) -> bool:
    """Whether the folder is complete, undamaged and of this converter's version. Reads every file."""
    folder = variant_folder(home, model, variant)
    if not folder.is_dir():
        return False
    try:
        return _check(folder, model.name).wheel_sha256 == model.source.sha256
    except ModelError:
        return False


def is_made_from(home: Path, origin: Origin, variant: Precision) -> bool:
    """The same for a model that is not of the catalogue."""
    folder = named_folder(home, origin.name, variant)
    try:
        return folder.is_dir() and _check(folder, origin.name).source_sha256 == origin.sha256
    except ModelError:
        return False


def list_models(home: Path) -> tuple[ListedModel, ...]:
    """What the home folder holds, by name and variant, without reading the weights."""
    found = sorted(models_folder(home).glob(f"*/*/{MANIFEST}"))
    return tuple(_listed(path.parent) for path in found if not path.parent.name.startswith("."))


def _listed(folder: Path) -> ListedModel:
    try:
        manifest = read_manifest(folder)
        problem = _missing(manifest, folder)
    except TrunklineError as error:
        kind = ModelKind.GENERATE
        return ListedModel(
            name=folder.parent.name,
            variant=folder.name,
            kind=kind,
            licence="",
            size_bytes=0,
            path=folder,
            problem=str(error),
        )
    return ListedModel(
        name=manifest.model,
        variant=manifest.variant.value,
        kind=manifest.kind,
        licence=manifest.licence,
        size_bytes=manifest.size_bytes,
        path=folder,
        problem=problem,
    )


def _missing(manifest: Manifest, folder: Path) -> str:
    for file in manifest.files:
        path = folder / file.name
        if not path.is_file() or path.stat().st_size != file.size_bytes:
            return f"{file.name} is missing or cut short"
    return ""


def _prepared_folder(home: Path, name: str, variant: Precision | None) -> Path:
    """Raises ModelNotFound for a name that nobody knows, ModelError for a variant that one's own model is not in."""
    own = own_variants(home, name)
    if not own:
        model = find_model(name)
        return variant_folder(home, model, variant or model.default)
    if variant is not None and variant not in own:
        there = ", ".join(own)
        raise ModelError(
            f"{name} is prepared as {there}, not as {variant}; set `variant: {own[0]}`,"
            f" or prepare it again with `--variant {variant}`"
        )
    return named_folder(home, name, variant or own[0])


def _check(folder: Path, name: str) -> Manifest:
    if not folder.is_dir():
        raise ModelError(f"{name} is not prepared in {folder}; run `trunkline models prepare {name}`")
    manifest = read_manifest(folder)
    if manifest.converter_version != CONVERTER_VERSION:
        raise ModelError(f"{folder} was made by another version of the converter; {manifest.remedy}")
    check_files(manifest, folder)
    return manifest


def _open_own(folder: Path) -> ModelFolder:
    if not folder.is_dir():
        raise ModelError(
            f"{folder} is not a folder; `path:` takes one with model.onnx, tokenizer.json, genai_config.json"
        )
    config = read_genai_config(folder)
    graph = config.model.graph
    for name in (graph, "tokenizer.json"):
        if not (folder / name).is_file():
            raise ModelError(f"{folder} has no {name}; it needs {graph}, tokenizer.json and genai_config.json")
    return ModelFolder(
        name=folder.name,
        path=folder,
        kind=_kind(config),
        variant="own",
        licence="",
        revision=revision_of(records_of(folder)),
        config=config,
    )


def _kind(config: GenaiConfig) -> ModelKind:
    if config.model.classifier is not None:
        return ModelKind.CLASSIFY
    return ModelKind.EMBED if config.model.decoder is None else ModelKind.GENERATE
