"""One request on its way: what is known so far, for headers, span, metrics and the log line."""

import msgspec

from trunkline_gateway.auth import Principal
from trunkline_gateway.plan import Failure, Target
from trunkline_gateway.surface import Surface
from trunkline_gateway.usage import Usage


class Turn(msgspec.Struct, kw_only=True):
    """Belongs to one task; filled in as the request goes along, read once at its end."""

    surface: Surface
    principal: Principal
    request_id: str
    traceparent: str
    """The caller's; empty where none came."""
    started_s: float
    """On the monotonic clock."""
    model: str = ""
    """As the caller spelled it."""
    stream: bool = False
    route: str = ""
    target: Target | None = None
    """Who answers, or was asked last."""
    failures: list[Failure] = []
    attempts: int = 0
    cache: str = ""
    """hit, miss, bypass, or empty where the key has no cache."""
    guardrails: str = ""
    """What was flagged or done, or `unavailable`."""
    usage: Usage | None = None
    first_token_s: float | None = None
    """Seconds since the start."""
    outcome: str = "error"
    status: int = 0

    def headers(self) -> list[tuple[str, str]]:
        """The x-trunkline-* headers for what is known."""
        known = []
        if self.target is not None:
            known.append(("x-trunkline-model", self.target.model))
            known.append(("x-trunkline-provider", self.target.provider))
        if self.route:
            known.append(("x-trunkline-route", self.route))
        if self.attempts:
            known.append(("x-trunkline-attempts", str(self.attempts)))
        if self.cache:
            known.append(("x-trunkline-cache", self.cache))
        if self.guardrails:
            known.append(("x-trunkline-guardrails", self.guardrails))
        return known
