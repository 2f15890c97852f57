"""Texts told apart, and documents ranked for a query, by one classifier in one worker thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import numpy as np
from msgspec import Struct
from tokenizers import Tokenizer

from trunkline_kit.clock import Clock
from trunkline_kit.errors import ModelError, Unsupported
from trunkline_worker.embedding import EmbedConfig, check_places
from trunkline_worker.genai_config import Activation
from trunkline_worker.model_store import ModelFolder
from trunkline_worker.row_runs import RowRuns, Rows, open_runs
from trunkline_worker.runtimes.session import SessionConfig, open_session
from trunkline_worker.texts import Encoded, TokenRow, check_count, encode_pairs, encode_texts, off_loop, padded


class Scored(Struct, frozen=True, kw_only=True):
    scores: Rows
    """Shape [texts, labels], each 0 to 1."""
    prompt_tokens: int
    """Tokens that were read, control tokens included."""
    truncated: int
    """Texts, or pairs of query and document, that were cut."""


class OnnxClassifier:
    """Runs the classifier of a model folder. Not safe for more than one thread, but for what tokenises."""

    def __init__(self, folder: ModelFolder, tokenizer: Tokenizer, config: SessionConfig) -> None:
        if folder.config.model.classifier is None:
            raise ModelError(f"{folder.name} is no classifier")
        self._classifier = folder.config.model.classifier
        self._tokenizer = tokenizer
        self._session = open_session(folder.path / self._classifier.filename, config)
        self.labels = self._classifier.labels
        self.max_tokens = folder.config.model.context_length
        self.provider = str(self._session.get_providers()[0])
        self._padding = folder.config.model.pad_token_id or 0

    def texts(self, texts: Sequence[str]) -> Encoded:
        """Texts as rows of tokens, cut to `max_tokens`."""
        return encode_texts(self._tokenizer, texts, self.max_tokens)

    def pairs(self, query: str, documents: Sequence[str]) -> Encoded:
        """The query with each of the documents."""
        return encode_pairs(self._tokenizer, query, documents, self.max_tokens)

    def run(self, rows: Sequence[TokenRow]) -> Rows:
        """Scores of each row, 0 to 1."""
        names, matrices = self._classifier, padded(rows, self._padding)
        feeds = {
            names.input_ids: matrices.ids,
            names.attention_mask: matrices.mask,
            names.token_type_ids: matrices.types,
        }
        return scores(self._session.run([names.logits], feeds)[0].astype(np.float32), names.activation)


def scores(logits: Rows, activation: Activation) -> Rows:
    """What a classifier's logits [texts, labels] mean: shares that make one, or each label by itself."""
    if activation is Activation.SIGMOID:
        # Written with tanh, which does not overflow.
        each: Rows = 0.5 * (1 + np.tanh(0.5 * logits))
        return each
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Rows = weights / weights.sum(axis=-1, keepdims=True)
    return shares


class Classifier:
    """The classifier as the event loop sees it."""

    def __init__(self, model: OnnxClassifier, runs: RowRuns, config: EmbedConfig) -> None:
        self._model = model
        self._runs = runs
        self._max_waiting = config.max_waiting

    @property
    def waiting(self) -> int:
        """Calls under way, the running ones included."""
        return self._runs.waiting

    @property
    def labels(self) -> Sequence[str]:
        return self._model.labels

    async def classify(self, texts: Sequence[str], deadline_s: float | None = None) -> Scored:
        """Scores of every label, in the order of `texts`. Raises InvalidRequest, Overloaded, DeadlineExceeded."""
        check_count(len(texts), "input")
        check_places(self._runs, self._max_waiting)
        encoded = await off_loop(partial(self._model.texts, texts), texts)
        return await self._scored(encoded, deadline_s)

    async def rerank(self, query: str, documents: Sequence[str], deadline_s: float | None = None) -> Scored:
        """How well each document answers the query. Raises as above, and Unsupported by a model of several labels."""
        if len(self.labels) != 1:
            told = f"this model tells {len(self.labels)} labels apart; one that reranks has a single one"
            raise Unsupported(told, param="model")
        check_count(len(documents), "documents")
        check_places(self._runs, self._max_waiting)
        encoded = await off_loop(partial(self._model.pairs, query, documents), [query * len(documents), *documents])
        return await self._scored(encoded, deadline_s)

    async def _scored(self, encoded: Encoded, deadline_s: float | None) -> Scored:
        found = await self._runs.run(encoded.rows, deadline_s)
        return Scored(scores=found, prompt_tokens=encoded.prompt_tokens, truncated=encoded.truncated)


@asynccontextmanager
async def open_classifier(model: OnnxClassifier, config: EmbedConfig, clock: Clock) -> AsyncIterator[Classifier]:
    """A classifier with its thread, for the block; at its end the running texts are waited for, others are dropped."""
    async with open_runs(model, config.run, clock) as runs:
        yield Classifier(model, runs, config)
