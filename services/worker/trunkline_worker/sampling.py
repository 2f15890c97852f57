"""Chooses the next token. Every request has its own generator and state, so nothing depends on its neighbours.

Each row is worked on by itself: after one comparison a few hundred tokens are left of a vocabulary, which is faster
than any pass over the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trunkline_worker.candidates import Scratch, candidates, pick
from trunkline_worker.generation import AnswerGuide, SamplingOptions
from trunkline_worker.runtimes.base import Logits


class Sampler:
    """The options, the random state and the memory for penalties of one request."""

    def __init__(
        self,
        options: SamplingOptions,
        prompt_ids: Sequence[int] = (),
        *,
        choice: int = 0,
        guide: AnswerGuide | None = None,
        scratch: Scratch | None = None,
    ) -> None:
        """Several may share a `scratch`, if one thread has them all; without one it gets its own."""
        self.options = options
        self._scratch = scratch
        self._random = np.random.default_rng(_seed(options.seed, choice))
        self._guide = guide
        self._repeats = options.repetition_penalty != 1.0
        self._counted = options.frequency_penalty != 0.0 or options.presence_penalty != 0.0
        self._seen = _Tally(prompt_ids if self._repeats else ())
        self._answered = _Tally(())
        self._bias_ids = np.array(list(options.logit_bias), np.intp)
        self._bias = np.array(list(options.logit_bias.values()), np.float32)
        self._plain = not (self._repeats or self._counted or options.logit_bias or guide)

    def choose(self, logits: Logits) -> int:
        """The next token for one row of logits [vocabulary]; the row is not changed."""
        adjusted = logits if self._plain else self._adjusted(logits)
        chosen = int(adjusted.argmax()) if self.options.temperature == 0.0 else self._draw(adjusted)
        self._remember(chosen)
        return chosen

    def _adjusted(self, logits: Logits) -> Logits:
        """The guide's mask, bias, repetition penalty (Keskar et al., 2019, arXiv:1909.05858), OpenAI's two penalties.

        The last two are on answered tokens. What the guide forbids stays forbidden, since nothing lifts minus infinity.
        """
        options, scratch = self.options, self._memory(logits.size)
        mask = None if self._guide is None else self._guide.mask(scratch.weights)
        logits = np.add(logits, 0 if mask is None else mask, out=scratch.row)
        if self._bias_ids.size:
            logits[self._bias_ids] += self._bias
        if self._repeats:
            penalty, said = np.float32(options.repetition_penalty), logits[self._seen.ids]
            logits[self._seen.ids] = np.where(said > 0, said / penalty, said * penalty)
        if self._counted:
            often = self._answered.counts * np.float32(options.frequency_penalty)
            logits[self._answered.ids] -= often + np.float32(options.presence_penalty)
        return logits

    def _draw(self, logits: Logits) -> int:
        # Drawn first and always, so that the place does not depend on how many tokens are left.
        place = self._random.random()
        return pick(*candidates(logits, self.options, self._memory(logits.size)), place)

    def _memory(self, size: int) -> Scratch:
        if self._scratch is None:
            self._scratch = Scratch(size)
        return self._scratch

    def _remember(self, chosen: int) -> None:
        """The token came: it counts from now on."""
        if self._counted:
            self._answered.add(chosen)
        if self._repeats:
            self._seen.add(chosen)
        if self._guide is not None:
            self._guide.accept(chosen)


class _Tally:
    """Token ids and how often each occurred, as arrays that grow."""

    def __init__(self, token_ids: Sequence[int]) -> None:
        found, counts = np.unique(np.asarray(token_ids, np.intp), return_counts=True)
        self._ids = found
        self._counts = counts.astype(np.float32)
        self._size = found.size
        self._places = {token_id: place for place, token_id in enumerate(found.tolist())}

    @property
    def ids(self) -> NDArray[np.intp]:
        return self._ids[: self._size]

    @property
    def counts(self) -> NDArray[np.float32]:
        return self._counts[: self._size]

    def add(self, token_id: int) -> None:
        place = self._places.setdefault(token_id, self._size)
        if place == self._size:
            self._grow()
            self._ids[place] = token_id
            self._size += 1
        self._counts[place] += 1

    def _grow(self) -> None:
        if self._size == self._ids.size:
            room = max(64, self._size)
            self._ids = np.concatenate([self._ids, np.zeros(room, np.intp)])
            self._counts = np.concatenate([self._counts, np.zeros(room, np.float32)])


def _seed(seed: int | None, choice: int) -> list[int] | None:
    """What a generator is made from: of a request's several choices each has its own."""
    return None if seed is None else [abs(seed) * 2 + (seed < 0), *([choice] if choice else [])]
