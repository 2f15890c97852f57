"""How busy the engine is, as values."""

from __future__ import annotations

import math

from msgspec import Struct

_MEMORY_S = 5.0
"""Time constant of the token rate: what happened 5 s ago counts e times less than what happens now."""


class TokenRate(Struct, frozen=True):
    """Tokens per second with exponential forgetting; 0 before the first token, and falling towards it when idle."""

    per_s: float = 0.0
    updated_s: float = 0.0

    def at(self, now_s: float) -> float:
        return self.per_s * math.exp(-max(0.0, now_s - self.updated_s) / _MEMORY_S)

    def after(self, tokens: int, now_s: float) -> TokenRate:
        """The rate once `tokens` more were made at `now_s`."""
        return TokenRate(self.at(now_s) + tokens / _MEMORY_S, max(now_s, self.updated_s))


class EngineLoad(Struct, frozen=True, kw_only=True):
    running: int = 0
    """Requests in a slot."""
    waiting: int = 0
    waiting_tokens: int = 0
    """Prompt tokens of the waiting requests."""
    kv_usage: float = 0.0
    """Share of the slots' tokens that hold something, 0 to 1."""
    rate: TokenRate = TokenRate()
    max_running: int = 0
    draining: bool = False
