"""Chooses the next token. Every request has its own generator and state, so nothing depends on its neighbours.

Each row is worked on by itself: after one comparison a few hundred tokens are left of a vocabulary, which is faster
than any pass over the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trunkline_worker.candidates import Scratch, candidates, pick
from trunkline_worker.generation import AnswerGuide, Few, SamplingOptions
from trunkline_worker.runtimes.base import Logits

_PLACES = 64


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
        self._places: list[float] = []
        self._guide = guide
        self._penalties = _Penalties(options, prompt_ids) if _Penalties.wanted(options) else None
        self._bias_ids = np.array(list(options.logit_bias), np.intp)
        self._bias = np.array(list(options.logit_bias.values()), np.float32)
        self._plain = self._penalties is None and not options.logit_bias

    def choose(self, logits: Logits) -> int:
        """The next token for one row of logits [vocabulary], which is changed meanwhile and then as it was."""
        if self._scratch is None:
            self._scratch = Scratch(logits.size)
        few = None if self._guide is None else self._guide.few()
        if few is not None and few.allowed and self._plain:
            chosen = int(few.ids[self._choose(logits[few.ids], self._scratch)])
        else:
            chosen = self._choose_changed(logits, few, self._scratch)
        self._remember(chosen)
        return chosen

    def recall(self, token_ids: Sequence[int]) -> None:
        """Go on behind tokens that another sampler with these options chose: as if they had been chosen here."""
        for token_id in token_ids:
            if self.options.temperature != 0.0:
                self._place()
            self._remember(token_id)

    def _choose_changed(self, logits: Logits, few: Few | None, scratch: Scratch) -> int:
        """With bias, penalties and what the guide forbids; that stays so, since nothing lifts minus infinity.

        Few logits change, so they are put back rather than all copied first.
        """
        before: list[tuple[NDArray[np.intp], Logits]] = []
        if few is not None and not few.allowed:
            before.append((few.ids, logits[few.ids]))
            logits[few.ids] = -np.inf
        elif self._guide is not None:
            mask = self._guide.mask(scratch.weights)
            logits = logits if mask is None else np.add(logits, mask, out=scratch.row)
        if self._bias_ids.size:
            before.append((self._bias_ids, logits[self._bias_ids]))
            logits[self._bias_ids] += self._bias
        if self._penalties is not None:
            before.append(self._penalties.apply(logits))
        chosen = self._choose(logits, scratch)
        for ids, values in reversed(before):
            logits[ids] = values
        return chosen

    def _choose(self, logits: Logits, scratch: Scratch) -> int:
        return int(logits.argmax()) if self.options.temperature == 0.0 else self._draw(logits, scratch)

    def _draw(self, logits: Logits, scratch: Scratch) -> int:
        # Drawn first and always, so that the place does not depend on how many tokens are left.
        place = self._place()
        return pick(candidates(logits, self.options, scratch), place)

    def _place(self) -> float:
        # Many at once, since the generator is not in the processor's caches any more.
        if not self._places:
            self._places = self._random.random(_PLACES).tolist()
        return self._places.pop()

    def _remember(self, chosen: int) -> None:
        """The token came: it counts from now on."""
        if self._penalties is not None:
            self._penalties.add(chosen)
        if self._guide is not None:
            self._guide.accept(chosen)


class _Penalties:
    """Repetition penalty (Keskar et al., 2019, arXiv:1909.05858) and OpenAI's two, the latter on answered tokens.

    Of every token that has one: its id and what is taken off, in arrays that grow.
    """

    def __init__(self, options: SamplingOptions, prompt_ids: Sequence[int]) -> None:
        self._repetition = np.float32(options.repetition_penalty)
        self._frequency, self._presence = np.float32(options.frequency_penalty), np.float32(options.presence_penalty)
        found = sorted(set(prompt_ids)) if self._repetition != 1 else []
        self._ids = np.array(found, np.intp)
        self._off = np.zeros(len(found), np.float32)
        self._counts = [0] * len(found)
        self._places = {token_id: place for place, token_id in enumerate(found)}

    @staticmethod
    def wanted(options: SamplingOptions) -> bool:
        return options.repetition_penalty != 1 or options.frequency_penalty != 0 or options.presence_penalty != 0

    def apply(self, logits: Logits) -> tuple[NDArray[np.intp], Logits]:
        """Change one row; which places that were, and what was there."""
        size = len(self._counts)
        ids = self._ids[:size]
        before = said = logits[ids]
        if self._repetition != 1:
            # Whatever the sign, towards the less likely; and the other way for a penalty under 1.
            towards = np.minimum if self._repetition > 1 else np.maximum
            said = towards(said / self._repetition, said * self._repetition)
        logits[ids] = said - self._off[:size]
        return ids, before

    def add(self, token_id: int) -> None:
        """The token was answered."""
        place = self._places.setdefault(token_id, len(self._counts))
        if place == len(self._counts):
            self._grow()
            self._ids[place] = token_id
            self._counts.append(0)
        self._counts[place] += 1
        self._off[place] = np.float32(self._counts[place]) * self._frequency + self._presence

    def _grow(self) -> None:
        if len(self._counts) == self._ids.size:
            room = max(64, self._ids.size)
            self._ids = np.concatenate([self._ids, np.zeros(room, np.intp)])
            self._off = np.concatenate([self._off, np.zeros(room, np.float32)])


def _seed(seed: int | None, choice: int) -> list[int] | None:
    """What a generator is made from: of a request's several choices each has its own."""
    return None if seed is None else [abs(seed) * 2 + (seed < 0), *([choice] if choice else [])]
