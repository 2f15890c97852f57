"""One request on its way: what is known so far, for headers, span, metrics and the log line."""

from uuid import UUID

import msgspec

from trunkline_gateway.admission.estimation import Estimate
from trunkline_gateway.admission.holds import Ticket
from trunkline_gateway.auth import Principal
from trunkline_gateway.ledger.slots import NO_SLOT
from trunkline_gateway.plan import Failure, Target
from trunkline_gateway.standing import Standing
from trunkline_gateway.surface import Surface
from trunkline_gateway.usage import Usage


class Reservation(msgspec.Struct, kw_only=True):
    """What was set aside for a request."""

    tickets: list[Ticket] = []
    estimate: Estimate | None = None


class Tried(msgspec.Struct, kw_only=True):
    """One attempt as it was seen. Moments are on the loop's clock."""

    target: Target
    started_s: float
    attempt_id: UUID | None = None
    """With `started_us` the key of its row; None while nobody keeps books."""
    started_us: int = 0
    """Since the epoch."""
    slot: int = NO_SLOT
    """Where it is in the journal of attempts in flight."""
    ended_s: float | None = None
    """When it failed, or its answer began (or was whole); None while neither has happened."""
    failed: str = ""
    """Why it was given up; empty for the one that answers."""


class Turn(msgspec.Struct, kw_only=True):
    """Belongs to one task; filled in as the request goes along, read once at its end."""

    surface: Surface
    principal: Principal
    request_id: str
    credential: bytes = b""
    """What its key was known by; empty for a token."""
    standing: Standing | None = None
    """While it is under way."""
    traceparent: str
    """The caller's; empty where none came."""
    started_s: float
    """On the monotonic clock."""
    model: str = ""
    """As the caller spelled it."""
    stream: bool = False
    end_user: str = ""
    """As the caller calls them."""
    tags: tuple[str, ...] = ()
    """Of the key and of the request, each once."""
    trace_id: str = ""
    """As W3C writes it; empty where there is no trace."""
    route: str = ""
    target: Target | None = None
    """Who answers, or was asked last."""
    failures: list[Failure] = []
    attempts: int = 0
    tried: list[Tried] = []
    """Every attempt in order."""
    cache: str = ""
    """hit, miss, bypass, or empty where the key has no cache."""
    guardrails: str = ""
    """What was flagged or done, or `unavailable`."""
    queued_ms: int = 0
    """How long it waited for a limit to have room."""
    reservation: Reservation | None = None
    """None where no limit applies, or nothing was reserved yet."""
    usage: Usage | None = None
    read_tokens: int = 0
    """Of the request, as estimated when it was first sent to a provider."""
    pieces: int = 0
    """Events of a stream that the caller was given: about as many tokens."""
    first_token_s: float | None = None
    """Seconds since the start."""
    said_tokens: int = 0
    """Of the answer, as far as it was counted: what is left to go by where the provider reports nothing."""
    cost_usd: str = ""
    """Known only for whole answers, and where there is a price."""
    took_s: float = 0.0
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
        if self.cost_usd:
            known.append(("x-trunkline-cost-usd", self.cost_usd))
        if self.cache:
            known.append(("x-trunkline-cache", self.cache))
        if self.guardrails:
            known.append(("x-trunkline-guardrails", self.guardrails))
        if self.queued_ms:
            known.append(("x-trunkline-queue-ms", str(self.queued_ms)))
        if self.reservation is not None:
            known += self.reservation.tickets[0].headers
            if any(ticket.degraded for ticket in self.reservation.tickets):
                known.append(("x-trunkline-admission", "degraded"))
        return known
