"""How busy the engine is, as values."""

from __future__ import annotations

import math

from msgspec import Struct

from trunkline_worker.speculation import Drafted
from trunkline_worker.utilisation import Utilisation

_MEMORY_S = 5.0
"""Time constant of the token rate: what happened 5 s ago counts e times less than what happens now."""

_MEMORY_SHARE = 0.98
"""What a request's share in the hit ratio is multiplied with for each later one: the last 50 weigh most."""

_LATEST_SHARE = 0.2
"""What the latest run counts in a speed."""


class TokenRate(Struct, frozen=True):
    """Tokens per second with exponential forgetting; 0 before the first token, and falling towards it when idle."""

    per_s: float = 0.0
    updated_s: float = 0.0

    def at(self, now_s: float) -> float:
        return self.per_s * math.exp(-max(0.0, now_s - self.updated_s) / _MEMORY_S)

    def after(self, tokens: int, now_s: float) -> TokenRate:
        """The rate once `tokens` more were made at `now_s`."""
        return TokenRate(self.at(now_s) + tokens / _MEMORY_S, max(now_s, self.updated_s))


class Speed(Struct, frozen=True):
    """Tokens per second while at it, the latest runs weighing most; 0 before the first."""

    per_s: float = 0.0

    def after(self, tokens: int, duration_s: float) -> Speed:
        """Once `tokens` more took `duration_s`."""
        if duration_s <= 0:
            return self
        latest = tokens / duration_s
        return Speed(latest if self.per_s == 0 else self.per_s + _LATEST_SHARE * (latest - self.per_s))


class HitRatio(Struct, frozen=True):
    """Prompt tokens looked up in the prefix cache and found there: ever, and with the latest requests weighing more."""

    queried_tokens: int = 0
    found_tokens: int = 0
    recent_queried: float = 0.0
    recent_found: float = 0.0

    @property
    def ratio(self) -> float:
        """Of the latest requests, 0 to 1."""
        return self.recent_found / self.recent_queried if self.recent_queried else 0.0

    def after(self, queried: int, found: int) -> HitRatio:
        """Once a prompt of `queried` tokens, `found` of them kept, has been looked up."""
        return HitRatio(
            self.queried_tokens + queried,
            self.found_tokens + found,
            self.recent_queried * _MEMORY_SHARE + queried,
            self.recent_found * _MEMORY_SHARE + found,
        )


class EngineLoad(Struct, frozen=True, kw_only=True):
    running: int = 0
    """Requests in a slot."""
    waiting: int = 0
    waiting_tokens: int = 0
    """Prompt tokens of the waiting requests that the prefix cache did not hold when they came."""
    kv_usage: float = 0.0
    """Share of the slots' tokens that hold something, 0 to 1."""
    prefix_usage: float = 0.0
    """Share of the prefix cache's blocks that hold something, 0 to 1."""
    prefix_tokens: int = 0
    """What the prefix cache can hold."""
    reading_tokens: int = 0
    """Left of the prompt that is being read."""
    rate: TokenRate = TokenRate()
    prefill_tokens_per_s: float = 0.0
    """Speed of reading prompts while at it; 0 if not known yet."""
    hits: HitRatio = HitRatio()
    use: Utilisation = Utilisation()
    drafted: Drafted = Drafted()
    max_running: int = 0
    draining: bool = False
