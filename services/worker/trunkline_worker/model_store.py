"""Where prepared models live: `<home>/models/<name>/<variant>/`, and how one is found, verified and opened."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from trunkline_kit.errors import ModelError, TrunklineError
from trunkline_worker.catalogue import CatalogueModel, ModelKind, find_model
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
    return models_folder(home) / model.name / variant.value


def open_model(home: Path, name: str, variant: Precision | None = None) -> ModelFolder:
    """Check a prepared model, or a folder of one's own given as `path:FOLDER`, and describe it.

    Every file is read and its SHA-256 compared: with the file in the page cache this takes about 0.1 s for 150 MB,
    and the session would read the same bytes a moment later anyway. Raises ModelNotFound, ModelError.
    """
    if name.startswith(_OWN_FOLDER):
        return _open_own(Path(name.removeprefix(_OWN_FOLDER)).expanduser())
    model = find_model(name)
    folder = variant_folder(home, model, variant or model.default)
    manifest = _check(folder, model)
    return ModelFolder(
        name=model.name,
        path=folder,
        kind=model.kind,
        variant=manifest.variant.value,
        licence=model.licence,
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
        return _check(folder, model).wheel_sha256 == model.source.sha256
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


def _check(folder: Path, model: CatalogueModel) -> Manifest:
    again = f"run `trunkline models prepare {model.name}`"
    if not folder.is_dir():
        raise ModelError(f"{model.name} is not prepared in {folder}; {again}")
    manifest = read_manifest(folder)
    if manifest.converter_version != CONVERTER_VERSION:
        raise ModelError(f"{folder} was made by another version of the converter; {again}")
    check_files(manifest, folder)
    return manifest


def _open_own(folder: Path) -> ModelFolder:
    if not folder.is_dir():
        raise ModelError(
            f"{folder} is not a folder; `path:` takes one with model.onnx, tokenizer.json, genai_config.json"
        )
    config = read_genai_config(folder)
    section = config.model.decoder or config.model.encoder
    graph = "model.onnx" if section is None else section.filename
    for name in (graph, "tokenizer.json"):
        if not (folder / name).is_file():
            raise ModelError(f"{folder} has no {name}; it needs {graph}, tokenizer.json and genai_config.json")
    return ModelFolder(
        name=folder.name,
        path=folder,
        kind=ModelKind.EMBED if config.model.decoder is None else ModelKind.GENERATE,
        variant="own",
        licence="",
        revision=revision_of(records_of(folder)),
        config=config,
    )
