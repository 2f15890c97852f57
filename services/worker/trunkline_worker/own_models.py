"""Models of one's own: what a command names, what it will be called, and whether it is still what it was made from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from trunkline_kit.errors import ModelError
from trunkline_worker.catalogue import CatalogueModel, ModelKind, find_model, in_catalogue
from trunkline_worker.convert.classifier import is_classifier_folder
from trunkline_worker.convert.lora import CONFIG, WEIGHTS, Adapter
from trunkline_worker.convert.precision import Precision
from trunkline_worker.convert.safetensors_files import INDEX, weight_files
from trunkline_worker.convert.sources import open_source
from trunkline_worker.convert.weights import expected_weights
from trunkline_worker.manifest import sha256_of
from trunkline_worker.model_store import NAME

_GGUF = ".gguf"
_SIDE_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    INDEX,
)
_TOKENIZER_BYTES = 20_000_000


class OwnModel(Struct, frozen=True, kw_only=True):
    """A model to prepare that the catalogue does not have."""

    name: str
    base: Path | CatalogueModel
    """A GGUF file, a folder of safetensors, or a model of the catalogue that adapters are merged into."""
    adapters: tuple[Path, ...] = ()


def is_path(text: str) -> bool:
    """Whether an argument is meant as a file or folder rather than a name: `./x`, `~/x`, `a/b`, `x.gguf`."""
    return "/" in text or text.startswith((".", "~")) or text.lower().endswith(_GGUF)


def own_model(text: str, name: str | None, adapters: Sequence[Path]) -> OwnModel:
    """What `text` and the adapters make together. Raises ModelNotFound, ModelError naming what cannot be."""
    folders = tuple(path.expanduser().absolute() for path in adapters)
    for folder in folders:
        Adapter(folder)
    base = _base(text)
    stem = base.name if isinstance(base, CatalogueModel) else slug(base.stem if base.is_file() else base.name)
    chosen = name or "+".join([stem, *(slug(folder.name) for folder in folders)])
    if not NAME.fullmatch(chosen):
        raise ModelError(f"{chosen!r} cannot be a model's name: small letters, digits, dot, dash and underscore can")
    if in_catalogue(chosen):
        raise ModelError(f"{chosen} is a model of the catalogue; choose another --name")
    return OwnModel(name=chosen, base=base, adapters=folders)


def slug(text: str) -> str:
    """A name as close to `text` as names may be."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("._-")[:64] or "model"


def digest(own: OwnModel) -> str:
    """Over every file that the result depends on. Reads all of them: about a second for 2 GB."""
    base = [own.base.source.sha256] if isinstance(own.base, CatalogueModel) else _hashes(source_files(own.base))
    added = [line for folder in own.adapters for line in _hashes((folder / CONFIG, folder / WEIGHTS))]
    return hashlib.sha256("\n".join([*base, *added]).encode()).hexdigest()


def source_files(path: Path) -> tuple[Path, ...]:
    """The files of a model folder or beside a GGUF file that a conversion reads, in a fixed order."""
    if path.is_dir():
        sides = [path / name for name in _SIDE_FILES if (path / name).is_file()]
        return (*sides, *weight_files(path))
    beside = path.parent / "tokenizer.json"
    return (path, beside) if beside.is_file() else (path,)


def prepared_size(path: Path, precision: Precision) -> int:
    """Bytes that the converted model will take, about. Raises ModelError for what cannot be converted."""
    if is_classifier_folder(path):
        size_bytes = sum(one.stat().st_size for one in weight_files(path))
        return round(size_bytes * precision.weight_bytes / Precision.F32.weight_bytes) + _TOKENIZER_BYTES
    shape = open_source(path).weights.shape()
    matrices, fine = expected_weights(shape)
    fine_bytes = max(precision.weight_bytes, Precision.Q8.weight_bytes)
    return round((matrices * precision.weight_bytes + fine * fine_bytes) * 1.01) + _TOKENIZER_BYTES


def _base(text: str) -> Path | CatalogueModel:
    if not is_path(text):
        if not in_catalogue(text) and Path(text).exists():
            raise ModelError(f"no model of the catalogue is called {text!r}; to convert what is there say ./{text}")
        model = find_model(text)
        if model.kind is not ModelKind.GENERATE:
            raise ModelError(f"{text} is an encoder; adapters are merged into models that generate")
        return model
    path = Path(text).expanduser().absolute()
    if not path.exists():
        raise ModelError(f"{path} does not exist; give a GGUF file, or a folder with config.json and safetensors")
    return path


def _hashes(paths: Sequence[Path]) -> list[str]:
    return [f"{path.name} {sha256_of(path)}" for path in paths]
