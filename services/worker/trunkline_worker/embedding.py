"""Sentence vectors: tokenise, cut, group by length, run in one worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from tokenizers import Tokenizer

from trunkline_kit.errors import InvalidRequest, ModelError, Overloaded
from trunkline_worker.model_store import ModelFolder
from trunkline_worker.runtimes.session import SessionConfig, open_session

Vectors: TypeAlias = NDArray[np.float32]

_MAX_TEXTS = 2048


class EmbedConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    batch_texts: int = 32
    """Texts in one run of the model, at most."""
    batch_tokens: int = 4096
    """Tokens in one run, padding included; bounds memory and how long others wait."""
    max_waiting: int = 64
    """Calls that may be under way; more are refused."""


class Embedded(Struct, frozen=True, kw_only=True):
    vectors: Vectors
    """Shape [texts, dimensions], each of length one."""
    prompt_tokens: int
    """Tokens that were encoded, the control tokens of each text included."""
    truncated_texts: int


class OnnxEncoder:
    """Runs the encoder of a model folder. Not safe for more than one thread."""

    def __init__(self, folder: ModelFolder, tokenizer: Tokenizer, config: SessionConfig) -> None:
        if folder.config.model.encoder is None:
            raise ModelError(f"{folder.name} is a decoder; it cannot embed")
        self._encoder = folder.config.model.encoder
        self._tokenizer = tokenizer
        self._session = open_session(folder.path / self._encoder.filename, config)
        self.max_tokens = folder.config.model.context_length
        self.dimensions = self._encoder.hidden_size
        self.provider = str(self._session.get_providers()[0])
        self._padding = folder.config.model.pad_token_id or 0

    def embed(self, texts: Sequence[str], config: EmbedConfig) -> Embedded:
        """Vectors in the order of `texts`. Texts over `max_tokens` are cut, keeping their closing control token."""
        encoded = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        cut = [ids if len(ids) <= self.max_tokens else [*ids[: self.max_tokens - 1], ids[-1]] for ids in encoded]
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        for batch in batches([len(ids) for ids in cut], config):
            vectors[batch] = self._run([cut[index] for index in batch])
        return Embedded(
            vectors=vectors,
            prompt_tokens=sum(map(len, cut)),
            truncated_texts=sum(len(ids) > self.max_tokens for ids in encoded),
        )

    def _run(self, rows: Sequence[Sequence[int]]) -> Vectors:
        width = max(map(len, rows))
        ids = np.full((len(rows), width), self._padding, np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        feeds = {self._encoder.input_ids: ids, self._encoder.attention_mask: mask}
        vectors: Vectors = self._session.run([self._encoder.sentence_embedding], feeds)[0].astype(
            np.float32, copy=False
        )
        if self._encoder.normalised:
            return vectors
        norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
        unit: Vectors = vectors / np.maximum(norms, 1e-12)
        return unit


def batches(lengths: Sequence[int], config: EmbedConfig) -> list[list[int]]:
    """Indexes grouped so that texts of like length run together, within the bounds. Each index occurs once."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    groups: list[list[int]] = []
    for index in order:
        # Sorted, so the newcomer is the longest of its group and decides the padded width.
        fits = groups and len(groups[-1]) < config.batch_texts
        if fits and (len(groups[-1]) + 1) * lengths[index] <= config.batch_tokens:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


class Embedder:
    """The encoder as the event loop sees it: calls run one after the other in one thread."""

    def __init__(self, encoder: OnnxEncoder, executor: ThreadPoolExecutor, config: EmbedConfig) -> None:
        self._encoder = encoder
        self._executor = executor
        self._config = config
        self._under_way = 0

    @property
    def encoder(self) -> OnnxEncoder:
        return self._encoder

    @property
    def waiting(self) -> int:
        """Calls under way, the running one included."""
        return self._under_way

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Vectors in the order of `texts`. Raises InvalidRequest, Overloaded."""
        if not 1 <= len(texts) <= _MAX_TEXTS:
            raise InvalidRequest(f"send 1 to {_MAX_TEXTS} texts at once, got {len(texts)}", param="input")
        if self._under_way >= self._config.max_waiting:
            raise Overloaded(f"all {self._config.max_waiting} places of this encoder are taken", retry_after_s=1.0)
        self._under_way += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, self._encoder.embed, texts, self._config)
        finally:
            self._under_way -= 1


@asynccontextmanager
async def open_embedder(encoder: OnnxEncoder, config: EmbedConfig) -> AsyncIterator[Embedder]:
    """An embedder with its thread, for the block; at its end the running call is waited for, others are dropped."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="encoder")
    try:
        yield Embedder(encoder, executor, config)
    finally:
        await asyncio.to_thread(executor.shutdown, wait=True, cancel_futures=True)
