"""The way of one request: resolve, analyse, plan, attempt, relay, settle. HTTP and gRPC both call it."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
from opentelemetry.trace import Span, SpanKind

from trunkline_gateway import body as bodies
from trunkline_gateway.admission.gate import Gate
from trunkline_gateway.admission.gate import Terms as AdmissionTerms
from trunkline_gateway.admission.sizing import BY_COUNT, BY_SIZE
from trunkline_gateway.analysis import Analyst, Findings
from trunkline_gateway.attempts import Attempts
from trunkline_gateway.beside.drains import Drains
from trunkline_gateway.beside.shadows import Shadows, may_copy
from trunkline_gateway.callers import Caller, Callers
from trunkline_gateway.catalogue import Catalogue, Offer
from trunkline_gateway.delivery import Delivery, over, replayed
from trunkline_gateway.errands import Errand
from trunkline_gateway.fingerprint import fingerprint
from trunkline_gateway.fleet.planning import Planned, Planner
from trunkline_gateway.ledger.bookkeeping import Bookkeeper
from trunkline_gateway.moderation import Moderator
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.pricing import Pricing
from trunkline_gateway.providers.base import Call, Provider
from trunkline_gateway.providers.over_chat import speaks
from trunkline_gateway.sink import Headers, Sink
from trunkline_gateway.standing import OpenRequests, Standing
from trunkline_gateway.surface import CONTROL_DECODERS, OPERATIONS, Surface
from trunkline_gateway.telemetry import Meters, describe, log_turn, trace_id_of
from trunkline_gateway.tenancy import Tenants
from trunkline_gateway.token_counts import TokenCounter
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import Clock
from trunkline_kit.errors import KeyRevoked, ModelNotFound, StoreUnavailable, TrunklineError
from trunkline_kit.health import Readiness
from trunkline_kit.settings import Route
from trunkline_kit.tenants import Priority
from trunkline_kit.tracing import Tracing

CACHED = frozenset({Surface.CHAT, Surface.COMPLETION, Surface.EMBEDDING, Surface.RERANK})
"""Surfaces whose answers can be kept and given again."""

PREPARE_S = 10.0
"""How long what a request continues may take to be found."""

PLACES = {Priority.INTERACTIVE: 1, Priority.NORMAL: 0, Priority.BATCH: -1}
"""In a worker's queue, by the key's priority."""


class State(msgspec.Struct, frozen=True):
    """What a configuration comes down to. Replaced as a whole; a request sees one from start to end."""

    catalogue: Catalogue
    callers: Callers
    providers: Mapping[str, Provider]
    readiness: Readiness
    limits: AdmissionTerms
    pricing: Pricing = Pricing()
    tenants: Tenants = Tenants()


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the pipeline works with."""

    gate: Gate
    analyst: Analyst
    attempts: Attempts
    planner: Planner
    meters: Meters
    tracing: Tracing
    clock: Clock
    bookkeeper: Bookkeeper
    drains: Drains = msgspec.field(default_factory=Drains)
    shadows: Shadows | None = None
    moderator: Moderator


class Pipeline:
    """Answers requests. `state` is replaced on a reload."""

    def __init__(self, parts: Parts, state: State) -> None:
        self._gate = parts.gate
        self._analyst = parts.analyst
        self._meters = parts.meters
        self._tracing = parts.tracing
        self._planner = parts.planner
        self._clock = parts.clock
        self._bookkeeper = parts.bookkeeper
        self._shadows = parts.shadows
        self._delivery = Delivery(
            analyst=parts.analyst,
            attempts=parts.attempts,
            bookkeeper=parts.bookkeeper,
            drains=parts.drains,
            meters=parts.meters,
            clock=parts.clock,
        )
        self._moderator = parts.moderator
        self._counter = TokenCounter(parts.gate.tools, parts.meters)
        self.state = state
        self.open = OpenRequests()
        """Requests that are under way."""

    async def run(self, turn: Turn, body: bytes, sink: Sink, *, fresh: bool = False) -> None:
        """Answer into `sink`. `fresh` passes the cache by. Raises TrunklineError before the sink was given anything.

        Whatever happens, the request is settled: limits, ledger, span, metrics, log line.
        """
        state = self.state
        span = self._tracing.start(OPERATIONS[turn.surface], kind=SpanKind.SERVER, parent=turn.traceparent)
        turn.trace_id = trace_id_of(span)
        standing = turn.standing = Standing(Caller(turn.principal, turn.credential))
        try:
            with self.open.entered(standing), self._tracing.use(span):
                _check_standing(state, standing)
                await self._answer(turn, body, sink, state, fresh=fresh)
        except asyncio.CancelledError:
            if turn.outcome != "ok":
                turn.outcome, turn.status = "cancelled", 499
            raise
        except TrunklineError as error:
            turn.outcome, turn.status = error.reason, error.http_status
            error.headers = (*error.headers, *_plain(turn.story()))
            raise
        except BaseException:
            turn.outcome, turn.status = "internal_error", 500
            raise
        finally:
            turn.took_s = self._clock.monotonic_s() - turn.started_s
            settle = partial(self._settle, turn, body, state, span)
            if turn.unread is None:
                settle()
            else:
                self._delivery.drains.read(turn.unread, settle, turn.held)

    def _settle(self, turn: Turn, body: bytes, state: State, span: Span) -> None:
        if turn.flight is not None:
            turn.flight.settle(turn.outcome)
        self._gate.settle(turn, state.limits)
        self._bookkeeper.settle(turn, state.pricing, turn.sent or body)
        self._meters.settle(turn, turn.took_s)
        describe(span, turn)
        if self._tracing.tracer is not None:
            span.end()
        log_turn(turn, turn.took_s)

    async def _answer(self, turn: Turn, body: bytes, sink: Sink, state: State, *, fresh: bool) -> None:
        call = call_of(turn, body)
        if turn.stream and turn.standing is not None:
            self.open.stream(turn.standing)
        if turn.surface is Surface.MODERATION:
            await self._gate.admit_caller(turn, call, state.limits)
            policy = state.catalogue.policy_of(turn.principal)
            await self._say(turn, await self._moderator.answer(turn, call, policy), sink)
            return
        found = state.catalogue.resolve(call.control.model, turn.principal)
        call = await self._admitted(turn, call, found, state)
        offer, findings = await self._analysed(turn, call, found, state.catalogue, fresh=fresh)
        if findings.cached is not None and await replayed(turn, call, findings.cached.body_json, sink):
            return
        if findings.body is not call.body:
            call = msgspec.structs.replace(call, body=findings.body)
        turn.sent = call.body
        if offer is not found:
            await self._gate.admit_model(turn, call, offer, state.limits)
        plan = self.plan(state, findings.models or (offer.name,), call, turn.principal.team)
        if turn.surface is Surface.TOKEN_COUNT:
            await self._say(turn, await self._counter.answer(turn, call, plan, state.providers), sink)
            return
        errand = Errand(
            call=call,
            offer=offer,
            plan=plan,
            providers=state.providers,
            slot=findings.slot,
            pricing=state.pricing,
            deadline_s=asyncio.get_running_loop().time() + offer.timeouts.total_s,
            opened=partial(self._bookkeeper.begin, turn, call.body),
            progress=partial(self._bookkeeper.progress, turn),
            bills=state.catalogue.bills,
        )
        if turn.stream:
            await self._delivery.stream(turn, errand, sink)
        else:
            await self._delivery.whole(turn, errand, sink)
        if self._shadows is not None and may_copy(errand, turn):
            self._shadows.copy(turn, errand)

    async def _admitted(self, turn: Turn, call: Call, found: Offer | Route, state: State) -> Call:
        """The request as it goes on. One with things to look up counts before that, and meets limits by size after."""
        if turn.prepare is None:
            await self._gate.admit(turn, call, found, state.limits)
            return call
        await self._gate.admit(turn, call, found, state.limits, BY_COUNT)
        try:
            async with asyncio.timeout(PREPARE_S):
                call = await turn.prepare(call, _speaking(call.surface, found, state.providers))
        except TimeoutError as error:
            text = f"what the request continues was not there within {PREPARE_S:g} s; try again"
            raise StoreUnavailable(text, retry_after_s=PREPARE_S) from error
        await self._gate.admit(turn, call, found, state.limits, BY_SIZE)
        return call

    async def _say(self, turn: Turn, body: bytes, sink: Sink) -> None:
        """An answer of our own."""
        turn.outcome, turn.status = "ok", 200
        over(turn)
        await sink.whole(body, turn.headers())

    def plan(self, state: State, names: Sequence[str], call: Call, team: str) -> Planned:
        """Where a request for the first of `names` may go. Raises PermissionDenied where prices leave nothing."""

        def allowed(targets: tuple[Target, ...]) -> tuple[Target, ...]:
            return state.pricing.allowed(targets, self._clock.now_s(), team)

        return self._planner.plan(state.catalogue, names, call, allowed)

    async def _analysed(
        self, turn: Turn, call: Call, found: Offer | Route, catalogue: Catalogue, *, fresh: bool
    ) -> tuple[Offer, Findings]:
        policy = catalogue.policy_of(turn.principal)
        route = None if isinstance(found, Offer) else found
        turn.model = found.name if isinstance(found, Offer) else call.control.model
        if policy is None and isinstance(found, Offer):
            return found, Findings(body=call.body)
        mark = None
        if policy is not None and policy.cache.exact is not None and not fresh and turn.surface in CACHED:
            targets = found.targets if isinstance(found, Offer) else ()
            mark = fingerprint(turn.surface, call.body, turn.model, targets)
        findings = await self._analyst.findings(turn, call, policy, route, mark)
        if isinstance(found, Offer):
            return found, findings
        models = [name for name in findings.models if name in catalogue.offers]
        if not models:
            raise ModelNotFound(f"route {turn.model!r} leads to no model that is configured here", param="model")
        turn.route = turn.route or turn.model
        return catalogue.offers[models[0]], msgspec.structs.replace(findings, models=tuple(models))


def _speaking(surface: Surface, found: Offer | Route, providers: Mapping[str, Provider]) -> frozenset[str]:
    """The accounts behind a model that speak this dialect themselves; none for a route, which may lead anywhere."""
    accounts = {target.account for target in found.targets} if isinstance(found, Offer) else set()
    return frozenset(name for name in accounts if speaks(providers[name], surface))


def _plain(headers: Headers) -> Headers:
    """As trailing metadata may be."""
    return [(name, value.encode("ascii", "replace").decode()) for name, value in headers]


def _check_standing(state: State, standing: Standing) -> None:
    """Raises KeyRevoked for a request whose key has stopped while its body was on the way."""
    if why := state.callers.why_stopped(standing.caller):
        raise KeyRevoked(why)


def call_of(turn: Turn, body: bytes) -> Call:
    """Decode what we decide on. Raises InvalidRequest."""
    control = bodies.decode(body, CONTROL_DECODERS[turn.surface])
    call = Call(
        surface=turn.surface,
        body=body,
        control=control,
        request_id=turn.request_id,
        cache_salt=f"{turn.principal.org}/{turn.principal.team}".encode(),
        passed_on=turn.passed_on,
        priority=PLACES[turn.principal.priority],
        answer_id=f"resp_{secrets.token_hex(24)}" if turn.surface is Surface.RESPONSES else "",
    )
    turn.model = control.model
    turn.stream = call.wants_stream
    # Who bears a token is not for its bearer to say.
    turn.end_user = turn.principal.subject or call.end_user
    return call
