"""One request on its way: what is known so far, for headers, span, metrics and the log line."""

from collections.abc import Awaitable, Callable
from urllib.parse import quote
from uuid import UUID

import msgspec

from trunkline_gateway.admission.estimation import Estimate
from trunkline_gateway.admission.holds import Ticket
from trunkline_gateway.auth import Principal
from trunkline_gateway.body_room import Held
from trunkline_gateway.fleet.deployments import Flight
from trunkline_gateway.ledger.slots import NO_SLOT
from trunkline_gateway.plan import Failure, Target
from trunkline_gateway.providers.base import Call
from trunkline_gateway.standing import Standing
from trunkline_gateway.surface import Surface
from trunkline_gateway.usage import Usage

Prepare = Callable[[Call, frozenset[str]], Awaitable[Call]]
"""Takes a request and the accounts that may answer it in its own dialect."""


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
    is_connecting: bool = False
    """Nothing of it was sent yet."""
    is_hedge: bool = False
    """Sent because the one before it was slow."""
    is_wasted: bool = False
    """Given up while the provider worked on it: it charges for what nobody got."""
    pieces: int = 0
    """Events of it that came, where a whole answer is put together from them."""
    owed: Usage | None = None
    """What is to be paid of it before it is whole; None where its provider says so only at the end."""
    resends: int = 0
    """How often its provider has sent it anew by itself, each time one more attempt."""
    provider_request_id: str = ""
    """What the provider calls it; empty where it does not say."""

    # What it is told as the `Witness` of its provider's work.

    def connecting(self) -> None:
        self.is_connecting = True

    def sending(self) -> None:
        self.is_connecting = False

    def heard(self, request_id: str) -> None:
        self.provider_request_id = request_id

    def resent(self) -> None:
        self.resends += 1

    def billed(self, usage: Usage) -> None:
        self.owed = usage


def _told(tried: Tried) -> str:
    place = quote(tried.target.key, safe="/:@")
    took_ms = 0 if tried.ended_s is None else round((tried.ended_s - tried.started_s) * 1000)
    return f"{place};{tried.failed or 'ok'};{took_ms}ms"


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
    passed_on: tuple[tuple[str, str], ...] = ()
    """Headers of the caller that mean something to a provider of its own dialect."""
    model: str = ""
    """As the caller spelled it."""
    stream: bool = False
    prepare: Prepare | None = None
    """What is to be done to it before anything else, where something was kept for it."""
    held: Held | None = None
    """What its body takes of the room for bodies; kept by whatever needs the body for longer than its caller stays."""
    sent: bytes = b""
    """Its body as providers get it, but for the model's name: with what it continues, and after redactions."""
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
    tried: list[Tried] = []
    """Every attempt in order."""
    answering: int = -1
    """Which of them answers; the last one until that is known."""
    flight: Flight | None = None
    """What the deployment that answers is busy with."""
    cache: str = ""
    """hit, miss, bypass, or empty where the key has no cache."""
    guardrails: str = ""
    """What was flagged or done, or `unavailable`."""
    count: str = ""
    """How a count of tokens was come by: provider, exact or estimated."""
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
    is_left: bool = False
    """Its caller has gone, and what is under way for it is only read on."""
    unread: Callable[[], Awaitable[None]] | None = None
    """Reads what is left of an answer that is charged for though its caller has gone; None where nothing is."""
    outcome: str = "error"
    status: int = 0

    @property
    def attempts(self) -> int:
        """How often a provider was asked."""
        return sum(1 + tried.resends for tried in self.tried)

    @property
    def final(self) -> Tried:
        """The attempt that answers. There must have been one."""
        return self.tried[self.answering]

    @property
    def history(self) -> str:
        """Every attempt: where, how it ended, and after how many milliseconds that was known."""
        return ", ".join(_told(tried) for tried in self.tried)

    def story(self) -> list[tuple[str, str]]:
        """The headers that go with answers and with errors: where it went."""
        known = []
        if self.target is not None:
            known.append(("x-trunkline-model", self.target.model))
            known.append(("x-trunkline-provider", self.target.provider))
            if self.target.arm:
                known.append(("x-trunkline-arm", self.target.arm))
        if self.route:
            known.append(("x-trunkline-route", self.route))
        if self.attempts:
            known.append(("x-trunkline-attempts", str(self.attempts)))
        if self.tried and (said := self.final.provider_request_id):
            known.append(("x-trunkline-provider-request-id", said))
        if len(self.tried) > 1 or (self.tried and self.tried[0].failed):
            known.append(("x-trunkline-tried", self.history))
        return known

    def headers(self) -> list[tuple[str, str]]:
        """The x-trunkline-* headers for what is known."""
        known = self.story()
        if self.cost_usd:
            known.append(("x-trunkline-cost-usd", self.cost_usd))
        if self.cache:
            known.append(("x-trunkline-cache", self.cache))
        if self.guardrails:
            known.append(("x-trunkline-guardrails", self.guardrails))
        if self.count:
            known.append(("x-trunkline-count", self.count))
        if self.queued_ms:
            known.append(("x-trunkline-queue-ms", str(self.queued_ms)))
        if self.reservation is not None:
            # Where it was admitted in steps, each says what the ones before it have not.
            known += {n: v for ticket in reversed(self.reservation.tickets) for n, v in ticket.headers}.items()
            if any(ticket.degraded for ticket in self.reservation.tickets):
                known.append(("x-trunkline-admission", "degraded"))
        return known
