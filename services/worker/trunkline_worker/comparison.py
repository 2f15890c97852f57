"""How much a model loses by being stored in fewer bits: every variant reads the same text, and is held to float32.

Perplexity says how well a variant predicts the text; the divergence of its predictions from those of float32
(Kullback and Leibler, 1951, in nats a token) says what the rounding alone did, and is far less noisy on a short text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import resources
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.precision import F32
from trunkline_worker.model_store import ModelFolder
from trunkline_worker.runtimes.onnx import OnnxDecoder, SlotConfig
from trunkline_worker.runtimes.session import SessionConfig
from trunkline_worker.tokenizer import ModelTokenizer, read_tokenizer, read_tokenizer_config

PASSAGE_TOKENS_MAX = 160
"""Of each passage so many are read; the four together are some hundreds."""
_TIMED_STEPS = 48
_WARM_STEPS = 4

Report: TypeAlias = Callable[[str, int, int], None]
"""Told the variant, steps done and steps to do."""


class Loss(Struct, frozen=True, kw_only=True):
    """Of one variant on a text."""

    perplexity: float
    divergence_nats: float
    """From float32, mean over tokens."""
    same_choice: float
    """Share of tokens where the likeliest next one is float32's."""


class VariantReport(Struct, frozen=True, kw_only=True):
    """One line of `trunkline models compare`."""

    variant: str
    size_bytes: int
    perplexity: float
    divergence_nats: float
    same_choice: float
    load_s: float
    tokens_per_s: float
    """Decoding one answer."""
    tokens: int
    """Predictions that were compared."""


def passages() -> tuple[str, ...]:
    """The fixed text: a story, instructions, a conversation, code."""
    text = resources.files("trunkline_worker").joinpath("comparison.txt").read_text(encoding="utf-8")
    parts = text.split("\n\n")
    return (*parts[:3], "\n\n".join(parts[3:]))


def compare(
    reference: ModelFolder, others: Sequence[ModelFolder], texts: Sequence[str], config: SessionConfig, report: Report
) -> list[VariantReport]:
    """One report each, the reference's first. Takes a step of the model a token and variant. Raises ModelError."""
    codec = ModelTokenizer(read_tokenizer(reference.path / "tokenizer.json"), read_tokenizer_config(reference.path))
    ids = [codec.encode(text)[:PASSAGE_TOKENS_MAX] for text in texts]
    if min(map(len, ids)) < 2:
        raise ModelError("a text to compare on must have two tokens at least")
    exact = _read_by(reference, ids, config, report)
    found = [exact, *(_read_by(folder, ids, config, report) for folder in others)]
    return [_report(folder, exact, one, ids) for folder, one in zip((reference, *others), found, strict=True)]


class _Reading(Struct, frozen=True, kw_only=True):
    logits: list[F32]
    """[tokens, vocabulary] of each passage."""
    load_s: float
    tokens_per_s: float


def _read_by(folder: ModelFolder, ids: list[list[int]], config: SessionConfig, report: Report) -> _Reading:
    text_steps = max(map(len, ids)) - 1
    steps = text_steps + _WARM_STEPS + _TIMED_STEPS
    slots = SlotConfig(slots=len(ids), slot_tokens=max(64, steps), prefix_bytes=0)
    begin = time.perf_counter()
    decoder = OnnxDecoder(folder, slots, config)
    load_s = time.perf_counter() - begin
    logits = read(decoder, ids, lambda done: report(folder.variant, done, steps))
    tokens_per_s = speed(decoder, ids[0][0], lambda done: report(folder.variant, text_steps + done, steps))
    return _Reading(logits=logits, load_s=load_s, tokens_per_s=tokens_per_s)


def _report(folder: ModelFolder, exact: _Reading, reading: _Reading, ids: list[list[int]]) -> VariantReport:
    loss = loss_of(exact.logits, reading.logits, [one[1:] for one in ids])
    return VariantReport(
        variant=folder.variant,
        size_bytes=sum(path.stat().st_size for path in folder.path.iterdir()),
        perplexity=loss.perplexity,
        divergence_nats=loss.divergence_nats,
        same_choice=loss.same_choice,
        load_s=reading.load_s,
        tokens_per_s=reading.tokens_per_s,
        tokens=sum(len(one) - 1 for one in ids),
    )


def read(decoder: OnnxDecoder, ids: Sequence[Sequence[int]], told: Callable[[int], None]) -> list[F32]:
    """The logits before each token but the first, passage by passage; all are read side by side, token by token."""
    found: list[list[F32]] = [[] for _ in ids]
    order = sorted(range(len(ids)), key=lambda at: -len(ids[at]))
    for step in range(len(ids[order[0]]) - 1):
        rows = [at for at in order if step < len(ids[at]) - 1]
        logits = decoder.decode([ids[at][step] for at in rows], [step + 1] * len(rows))
        for row, at in enumerate(rows):
            found[at].append(logits[row].copy())
        told(step + 1)
    return [np.stack(one) for one in found]


def loss_of(exact: Sequence[F32], found: Sequence[F32], following: Sequence[Sequence[int]]) -> Loss:
    """What `found` loses against `exact`: logits [tokens, vocabulary] of each passage, and the ids that came next."""
    surprise, apart, same = [], [], []
    for one, other, ids in zip(exact, found, following, strict=True):
        wanted, given = log_shares(one), log_shares(other)
        surprise.append(-given[np.arange(len(ids)), list(ids)])
        apart.append((np.exp(wanted) * (wanted - given)).sum(axis=-1))
        same.append(one.argmax(axis=-1) == other.argmax(axis=-1))
    return Loss(
        perplexity=float(np.exp(np.concatenate(surprise).mean())),
        divergence_nats=max(0.0, float(np.concatenate(apart).mean())),
        same_choice=float(np.concatenate(same).mean()),
    )


def log_shares(logits: F32) -> NDArray[np.float64]:
    """Logarithms of the probabilities, row by row."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    shares: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shares


def speed(decoder: OnnxDecoder, first: int, told: Callable[[int], None]) -> float:
    """Tokens a second of one answer: the median step, since a shared machine's worst ones say nothing."""
    times = []
    token = first
    for step in range(_WARM_STEPS + _TIMED_STEPS):
        begin = time.perf_counter()
        token = int(decoder.decode([token], [step + 1])[0].argmax())
        if step >= _WARM_STEPS:
            times.append(time.perf_counter() - begin)
        told(step + 1)
    return 1 / float(np.median(times))
