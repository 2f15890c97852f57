"""Requests and their moments, for benchmarks of several replicas. The same seed gives the same trace."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

TOKEN_BYTES = 4
PREFIXES, PREFIX_TOKENS = 16, 1500
_WORDS = ("a", "queue", "of", "seconds", "is", "what", "speed", "memory", "and", "patience", "have", "in", "common")


class Request(NamedTuple):
    at_s: float
    shared: str
    own: str
    answer: int

    @property
    def tokens(self) -> int:
        return (len(self.shared) + len(self.own)) // TOKEN_BYTES

    def body(self) -> dict[str, object]:
        messages = [{"role": "system", "content": self.shared}] if self.shared else []
        return {
            "model": "mock",
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": self.answer,
            "messages": [*messages, {"role": "user", "content": self.own}],
        }


class Kind(NamedTuple):
    """What one request is like."""

    shared: str
    own_tokens: int
    answer: int


def text(tokens: int, dice: random.Random) -> str:
    """Of about so many tokens, unlike any other from its first word on."""
    size = tokens * TOKEN_BYTES
    words = [f"{dice.getrandbits(40):x}"]
    while sum(map(len, words)) + len(words) < size:
        words += dice.sample(_WORDS, 8)
    return " ".join(words)[:size]


class Kinds:
    """Draws requests, with prefixes of which some are more popular than others."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.prefixes = [text(PREFIX_TOKENS, dice) for _ in range(PREFIXES)]

    def shared(self, alpha: float = 0.6) -> Kind:
        weights = [1 / (rank + 1) ** alpha for rank in range(PREFIXES)]
        return Kind(self.dice.choices(self.prefixes, weights)[0], self.dice.randint(50, 150), 32)

    def alone(self) -> Kind:
        return Kind("", self.dice.randint(400, 800), 32)

    def skewed(self) -> Kind:
        """Most are short, and one in ten is twenty times as long and answers at length."""
        if self.dice.random() < 0.1:
            return Kind("", self.dice.randint(3000, 5000), 96)
        return Kind("", self.dice.randint(50, 250), 24)

    def mixed(self) -> Kind:
        roll = self.dice.random()
        return self.shared() if roll < 0.5 else self.skewed() if roll < 0.8 else self.alone()

    def small(self) -> Kind:
        """What a model of 135M parameters on a core can do."""
        return Kind(self.dice.choice(self.prefixes[:6])[: 400 * TOKEN_BYTES], self.dice.randint(10, 40), 8)


@dataclass(frozen=True)
class Trace:
    kind: Callable[[Kinds], Kind]
    per_s: float
    slowness: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)

    def requests(self, seconds: float, dice: random.Random) -> list[Request]:
        """Poisson arrivals."""
        return list(self._drawn(seconds, dice))

    def _drawn(self, seconds: float, dice: random.Random) -> Iterator[Request]:
        kinds, at_s = Kinds(dice), 0.0
        while (at_s := at_s + dice.expovariate(self.per_s)) < seconds:
            kind = self.kind(kinds)
            yield Request(at_s, kind.shared, text(kind.own_tokens, dice), kind.answer)


SLOW = (3.0, 1.0, 1.0, 1.0)
TRACES = {
    "shared": Trace(Kinds.shared, 24.0),
    "none": Trace(Kinds.alone, 20.0),
    "skewed": Trace(Kinds.skewed, 18.0),
    "slow": Trace(Kinds.alone, 15.0, SLOW),
    "mixed": Trace(Kinds.mixed, 16.0, (2.0, 1.0, 1.0, 1.0)),
}
REAL = {"shared": Trace(Kinds.small, 1.2)}
