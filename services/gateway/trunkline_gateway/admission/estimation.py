"""Estimates that learn from what requests turn out to use. Bounded: what was used longest ago is forgotten."""

from collections import OrderedDict
from typing import Generic, TypeVar

import msgspec

from trunkline_policy import estimates
from trunkline_policy.costs import TOKENS_MAX
from trunkline_policy.estimates import Script

SAMPLES = 64
"""Answers remembered per model and key, and per model."""
SAMPLES_MIN = 8
"""With fewer, those of the model over all keys are taken; with few of these too, a default."""
REFRESH = 8
"""The percentile is worked out anew after so many answers."""

T = TypeVar("T")


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a request will probably use."""

    model: str
    key_id: str
    script: Script
    size_bytes: int
    input_tokens: int
    output_tokens: int
    guessed: bool = False
    """Whether nothing at all is known of the output."""
    counted: bool = False
    """Whether the input was counted token by token."""

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class _Recent(OrderedDict[str, T], Generic[T]):
    """At most `entries_max` entries."""

    def __init__(self, entries_max: int) -> None:
        super().__init__()
        self._max = entries_max

    def put(self, name: str, value: T) -> None:
        self[name] = value
        self.move_to_end(name)
        if len(self) > self._max:
            self.popitem(last=False)


class Outputs:
    """The last answers' sizes."""

    __slots__ = ("_fresh", "_p95", "_samples")

    def __init__(self) -> None:
        self._samples: list[int] = []
        self._p95 = 0
        self._fresh = 0

    @property
    def enough(self) -> bool:
        return len(self._samples) >= SAMPLES_MIN

    def add(self, tokens: int) -> None:
        self._samples.append(tokens)
        if len(self._samples) > SAMPLES:
            del self._samples[0]
        self._fresh += 1
        if self._fresh >= REFRESH or len(self._samples) <= SAMPLES_MIN:
            self._p95, self._fresh = estimates.quantile(self._samples), 0

    @property
    def p95(self) -> int:
        return self._p95


class Estimator:
    """Of one gateway process. Names of models are public ones."""

    def __init__(self, pairs_max: int = 4_096) -> None:
        self._ratios: _Recent[float] = _Recent(pairs_max)
        self._outputs: _Recent[Outputs] = _Recent(pairs_max)

    def estimate(self, model: str, key_id: str, body: bytes, output_max: int | None, choices: int) -> Estimate:
        """For a request to `model`. `output_max` is what the caller allows per choice; `choices` 0 means no output."""
        script = estimates.script_of(body)
        size_bytes = estimates.text_bytes(body)
        ratio = self._ratios.get(f"{model}\n{script.value}", estimates.PRIORS[script])
        likely = self._likely_output(model, key_id) if choices and output_max is None else output_max
        return Estimate(
            model=model,
            key_id=key_id,
            script=script,
            size_bytes=size_bytes,
            input_tokens=estimates.input_tokens(size_bytes, ratio),
            output_tokens=min(TOKENS_MAX, choices * (estimates.OUTPUT_DEFAULT if likely is None else likely)),
            guessed=choices > 0 and likely is None,
        )

    def learn(self, estimate: Estimate, input_tokens: int, output_tokens: int) -> None:
        """From a whole answer whose provider said what it used."""
        name = f"{estimate.model}\n{estimate.script.value}"
        before = self._ratios.get(name, estimates.PRIORS[estimate.script])
        self._ratios.put(name, estimates.learned(before, estimate.size_bytes, input_tokens))
        for pair in (f"{estimate.model}\n{estimate.key_id}", estimate.model):
            outputs = self._outputs.get(pair) or Outputs()
            outputs.add(output_tokens)
            self._outputs.put(pair, outputs)

    def _likely_output(self, model: str, key_id: str) -> int | None:
        for pair in (f"{model}\n{key_id}", model):
            outputs = self._outputs.get(pair)
            if outputs is not None and outputs.enough:
                return outputs.p95
        return None
