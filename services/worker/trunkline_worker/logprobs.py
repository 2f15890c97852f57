"""Log-probabilities by the model's own distribution, before temperature, penalties, guides and cuts."""

from __future__ import annotations

import numpy as np

from trunkline_worker.candidates import level_of
from trunkline_worker.generation import Alternative, TokenLogprobs
from trunkline_worker.runtimes.base import Logits


def logprobs(logits: Logits, chosen: int, top: int) -> TokenLogprobs:
    """Of one row [vocabulary]: the chosen token's and the `top` likeliest ones'; of equal ones the lower id first."""
    largest = float(logits.max())
    norm = largest + float(np.log(np.exp(logits - np.float32(largest)).sum()))
    best: list[int] = []
    if top:
        ids = np.flatnonzero(logits >= level_of(logits, top))
        best = ids[np.argsort(-logits[ids], kind="stable")][:top].tolist()
    alternatives = tuple(Alternative(token_id, min(0.0, float(logits[token_id]) - norm)) for token_id in best)
    return TokenLogprobs(chosen=Alternative(chosen, min(0.0, float(logits[chosen]) - norm)), top=alternatives)
