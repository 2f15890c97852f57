"""Sentence vectors: tokenise, cut, run with others of like length, in one worker thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from tokenizers import Tokenizer

from trunkline_kit.clock import Clock, SystemClock
from trunkline_kit.errors import ModelError, Overloaded
from trunkline_worker.model_store import ModelFolder
from trunkline_worker.row_queue import RowQueue, RunConfig
from trunkline_worker.row_runs import RowRuns, open_runs
from trunkline_worker.runtimes.session import SessionConfig, open_session
from trunkline_worker.texts import Encoded, TokenRow, check_count, encode_texts, off_loop, padded

Vectors: TypeAlias = NDArray[np.float32]


class EmbedConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    run: RunConfig = RunConfig()
    max_waiting: int = 64
    """Calls that may be under way; more are refused."""


class Embedded(Struct, frozen=True, kw_only=True):
    vectors: Vectors
    """Shape [texts, dimensions], each of length one."""
    prompt_tokens: int
    """Tokens that were encoded, the control tokens of each text included."""
    truncated_texts: int


class OnnxEncoder:
    """Runs the encoder of a model folder. Not safe for more than one thread, but for `encode`."""

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

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Texts as rows of tokens, cut to `max_tokens`."""
        return encode_texts(self._tokenizer, texts, self.max_tokens)

    def embed(self, texts: Sequence[str], config: EmbedConfig) -> Embedded:
        """Vectors in the order of `texts`, in this thread."""
        encoded = self.encode(texts)
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        queue = RowQueue(config.run)
        queue.push(0, [len(row.ids) for row in encoded.rows])
        while places := queue.take():
            indexes = [place.index for place in places]
            vectors[indexes] = self.run([encoded.rows[index] for index in indexes])
        return _embedded(vectors, encoded)

    def run(self, rows: Sequence[TokenRow]) -> Vectors:
        """One run of the model."""
        matrices = padded(rows, self._padding)
        feeds = {self._encoder.input_ids: matrices.ids, self._encoder.attention_mask: matrices.mask}
        vectors: Vectors = self._session.run([self._encoder.sentence_embedding], feeds)[0].astype(
            np.float32, copy=False
        )
        if self._encoder.normalised:
            return vectors
        norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
        unit: Vectors = vectors / np.maximum(norms, 1e-12)
        return unit


class Embedder:
    """The encoder as the event loop sees it."""

    def __init__(self, encoder: OnnxEncoder, runs: RowRuns, config: EmbedConfig) -> None:
        self._encoder = encoder
        self._runs = runs
        self._max_waiting = config.max_waiting

    @property
    def waiting(self) -> int:
        """Calls under way, the running ones included."""
        return self._runs.waiting

    async def embed(self, texts: Sequence[str], deadline_s: float | None = None) -> Embedded:
        """Vectors in the order of `texts`. Raises InvalidRequest, Overloaded, DeadlineExceeded."""
        check_count(len(texts), "input")
        check_places(self._runs, self._max_waiting)
        encoded = await off_loop(partial(self._encoder.encode, texts), texts)
        return _embedded(await self._runs.run(encoded.rows, deadline_s), encoded)


def check_places(runs: RowRuns, max_waiting: int) -> None:
    """Raises Overloaded when as many calls are here as may be."""
    if runs.waiting >= max_waiting:
        raise Overloaded(f"all {max_waiting} places of this encoder are taken", retry_after_s=1.0)


@asynccontextmanager
async def open_embedder(
    encoder: OnnxEncoder, config: EmbedConfig, clock: Clock | None = None
) -> AsyncIterator[Embedder]:
    """An embedder with its thread, for the block; at its end the running texts are waited for, others are dropped."""
    async with open_runs(encoder, config.run, clock or SystemClock()) as runs:
        yield Embedder(encoder, runs, config)


def _embedded(vectors: Vectors, encoded: Encoded) -> Embedded:
    return Embedded(vectors=vectors, prompt_tokens=encoded.prompt_tokens, truncated_texts=encoded.truncated)
