"""Where a decoder to convert comes from: a GGUF file, or a folder of safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.gguf_weights import GgufWeights
from trunkline_worker.convert.hf_weights import HfWeights
from trunkline_worker.convert.tokenizer_files import (
    FILE,
    copy_tokenizer,
    hf_token_config,
    write_decoder_tokenizer,
    write_token_config,
)
from trunkline_worker.convert.weights import DecoderWeights
from trunkline_worker.tokenizer import read_tokenizer


class Manners(msgspec.Struct, frozen=True, kw_only=True):
    """How the model is used, besides its weights."""

    bos_id: int | None = None
    eos_ids: tuple[int, ...] = ()
    padding_id: int | None = None
    temperature: float = 1.0
    """For requests that name none."""
    top_p: float = 1.0


class DecoderSource(Protocol):
    weights: DecoderWeights

    def manners(self) -> Manners: ...

    def write_tokenizer(self, folder: Path) -> None:
        """tokenizer.json and tokenizer_config.json. Raises ModelError where neither can be had."""


class GgufSource:
    """One file; the tokenizer is in it, or beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._gguf = GgufWeights(path)
        self.weights: DecoderWeights = self._gguf

    def manners(self) -> Manners:
        ids = self._gguf.token_ids()
        return Manners(bos_id=ids.bos_id, eos_ids=ids.eos_ids, padding_id=ids.padding_id)

    def write_tokenizer(self, folder: Path) -> None:
        shape, ids = self._gguf.shape(), self._gguf.token_ids()
        try:
            write_decoder_tokenizer(self._gguf.tokenizer(), ids, shape.context_tokens, folder)
        except ModelError:
            if not (self._path.parent / FILE).is_file():
                raise
            copy_tokenizer(self._path.parent, shape.vocabulary, folder)
            write_token_config(ids, "PreTrainedTokenizerFast", shape.context_tokens, folder)


class _Generation(msgspec.Struct, frozen=True, kw_only=True):
    """generation_config.json."""

    bos_token_id: int | tuple[int, ...] | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | tuple[int, ...] | None = None
    temperature: float | None = None
    top_p: float | None = None


class HfSource:
    """A folder as Hugging Face publishes models."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hf = HfWeights(folder)
        self.weights: DecoderWeights = self._hf

    def manners(self) -> Manners:
        """Of several files that say it, generation_config.json is asked first, then config.json, then the tokenizer."""
        path, config = self._folder / "generation_config.json", self._hf.config
        try:
            said = msgspec.json.decode(path.read_bytes(), type=_Generation) if path.is_file() else _Generation()
        except (OSError, msgspec.DecodeError) as error:
            raise ModelError(f"{path} cannot be used: {error}") from error
        ends = _several(said.eos_token_id) or _several(config.eos_token_id) or self._end_of_text()
        starts = _several(said.bos_token_id) or _several(config.bos_token_id)
        padding = _several(said.pad_token_id) or _several(config.pad_token_id)
        return Manners(
            bos_id=next(iter(starts), None),
            eos_ids=ends,
            padding_id=next(iter(padding), None),
            temperature=1.0 if said.temperature is None else said.temperature,
            top_p=1.0 if said.top_p is None else said.top_p,
        )

    def write_tokenizer(self, folder: Path) -> None:
        shape = self._hf.shape()
        copy_tokenizer(self._folder, shape.vocabulary, folder)
        config = hf_token_config(self._folder, shape.context_tokens)
        (folder / "tokenizer_config.json").write_bytes(msgspec.json.encode(config))

    def _end_of_text(self) -> tuple[int, ...]:
        token = hf_token_config(self._folder, 0).eos_token
        found = None if token is None else read_tokenizer(self._folder / FILE).token_to_id(token)
        return () if found is None else (found,)


def open_source(path: Path) -> DecoderSource:
    """Raises ModelError for what is neither, or cannot be converted."""
    if path.is_dir():
        return HfSource(path)
    if path.is_file():
        return GgufSource(path)
    raise ModelError(f"{path} does not exist; give a GGUF file, or a folder with config.json and safetensors")


def _several(ids: int | tuple[int, ...] | None) -> tuple[int, ...]:
    if ids is None:
        return ()
    return (ids,) if isinstance(ids, int) else ids
