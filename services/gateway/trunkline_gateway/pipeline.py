"""The way of one request: resolve, analyse, plan, attempt, relay, settle. HTTP and gRPC both call it."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
from opentelemetry.trace import SpanKind

from trunkline_gateway import body as bodies
from trunkline_gateway.admission.gate import Gate
from trunkline_gateway.admission.gate import Terms as AdmissionTerms
from trunkline_gateway.analysis import Analyst, Findings
from trunkline_gateway.attempts import Attempts
from trunkline_gateway.callers import Caller, Callers
from trunkline_gateway.catalogue import Catalogue, Offer
from trunkline_gateway.chunks import look, usage_in
from trunkline_gateway.errands import Errand, StreamJob, WholeJob
from trunkline_gateway.fingerprint import fingerprint
from trunkline_gateway.fleet.planning import Planned, Planner
from trunkline_gateway.ledger.bookkeeping import Bookkeeper
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.pricing import Pricing
from trunkline_gateway.providers.base import Call, Provider
from trunkline_gateway.relay import assembly
from trunkline_gateway.relay.streaming import Relay
from trunkline_gateway.sink import Headers, Sink
from trunkline_gateway.standing import OpenRequests, Standing
from trunkline_gateway.surface import CONTROL_DECODERS, OPERATIONS, Surface
from trunkline_gateway.telemetry import Meters, describe, log_turn, trace_id_of
from trunkline_gateway.tenancy import Tenants
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import Clock
from trunkline_kit.errors import KeyRevoked, ModelNotFound, TrunklineError
from trunkline_kit.health import Readiness
from trunkline_kit.settings import Route
from trunkline_kit.tenants import Priority
from trunkline_kit.tracing import Tracing

CACHED = frozenset({Surface.CHAT, Surface.COMPLETION, Surface.EMBEDDING})
"""Surfaces whose answers can be kept and given again."""


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


class Pipeline:
    """Answers requests. `state` is replaced on a reload."""

    def __init__(self, parts: Parts, state: State) -> None:
        self._gate = parts.gate
        self._analyst = parts.analyst
        self._attempts = parts.attempts
        self._meters = parts.meters
        self._tracing = parts.tracing
        self._planner = parts.planner
        self._clock = parts.clock
        self._bookkeeper = parts.bookkeeper
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
            if turn.flight is not None:
                turn.flight.settle(turn.outcome)
            self._gate.settle(turn, state.limits)
            took_s = turn.took_s = self._clock.monotonic_s() - turn.started_s
            self._bookkeeper.settle(turn, state.pricing, body)
            self._meters.settle(turn, took_s)
            describe(span, turn)
            if self._tracing.tracer is not None:
                span.end()
            log_turn(turn, took_s)

    async def _answer(self, turn: Turn, body: bytes, sink: Sink, state: State, *, fresh: bool) -> None:
        call = call_of(turn, body)
        found = state.catalogue.resolve(call.control.model, turn.principal)
        await self._gate.admit(turn, call, found, state.limits)
        offer, findings = await self._analysed(turn, call, found, state.catalogue, fresh=fresh)
        if findings.cached is not None and await self._replayed(turn, call, findings.cached.body_json, sink):
            return
        if findings.body is not call.body:
            call = msgspec.structs.replace(call, body=findings.body)
        if offer is not found:
            await self._gate.admit_model(turn, call, offer, state.limits)
        errand = Errand(
            call=call,
            offer=offer,
            plan=self.plan(state, findings.models or (offer.name,), call, turn.principal.team),
            providers=state.providers,
            slot=findings.slot,
            pricing=state.pricing,
            deadline_s=asyncio.get_running_loop().time() + offer.timeouts.total_s,
            opened=partial(self._bookkeeper.begin, turn, body),
            progress=partial(self._bookkeeper.progress, turn),
        )
        if turn.stream:
            await self._stream(turn, errand, sink)
        else:
            await self._whole(turn, errand, sink)

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

    async def _whole(self, turn: Turn, errand: Errand, sink: Sink) -> None:
        answer = await self._attempts.run(turn, errand.offer, errand.plan, errand.deadline_s, WholeJob(errand))
        if turn.flight is not None:
            turn.flight.landed(complete=True)
        turn.usage, turn.outcome, turn.status = answer.usage, "ok", 200
        self._bookkeeper.price(turn, errand.pricing, answer.body)
        _over(turn)
        await sink.whole(answer.body, turn.headers())
        slot = errand.slot_for(turn)
        if slot is not None and assembly.ended_cleanly(answer.body):
            await self._analyst.store(turn, slot, answer.body)

    async def _stream(self, turn: Turn, errand: Errand, sink: Sink) -> None:
        started = await self._attempts.run(turn, errand.offer, errand.plan, errand.deadline_s, StreamJob(errand))
        turn.first_token_s = self._clock.monotonic_s() - turn.started_s
        provider = turn.target.provider if turn.target else ""
        relay = Relay(errand.call, provider, errand.clocks, turn.standing, keep=errand.slot is not None)
        relay.progress = errand.progress()
        turn.status = 200
        try:
            await sink.open(turn.headers())
            await relay.run(started, sink)
        finally:
            started.stream.cut()
            turn.usage, turn.pieces = relay.relayed.usage, relay.relayed.pieces
            turn.outcome = relay.relayed.outcome
            self._meters.malformed(provider, relay.relayed.malformed)
        if turn.outcome == KeyRevoked.reason:
            return
        _over(turn)
        if not relay.relayed.complete:
            self._meters.broken(provider)
        elif (slot := errand.slot_for(turn)) is not None and relay.relayed.chunks and not relay.relayed.malformed:
            kept = assembly.whole(relay.relayed.chunks)
            if kept is not None and assembly.ended_cleanly(kept):
                await self._analyst.store(turn, slot, kept)

    async def _replayed(self, turn: Turn, call: Call, body: bytes, sink: Sink) -> bool:
        """A cached answer, in the form that was asked for, with the usage of the original. False: it cannot be."""
        chunks = assembly.stream(body, usage=call.wants_usage) if turn.stream else []
        if chunks is None:
            turn.cache = "miss"
            return False
        turn.outcome, turn.status, turn.usage = "cached", 200, usage_in(look(body).usage)
        if not turn.stream:
            await sink.whole(body, turn.headers())
            return True
        await sink.open(turn.headers())
        await sink.events(chunks)
        await sink.done()
        return True


def _plain(headers: Headers) -> Headers:
    """As trailing metadata may be."""
    return [(name, value.encode("ascii", "replace").decode()) for name, value in headers]


def _check_standing(state: State, standing: Standing) -> None:
    """Raises KeyRevoked for a request whose key has stopped while its body was on the way."""
    if why := state.callers.why_stopped(standing.caller):
        raise KeyRevoked(why)


def _over(turn: Turn) -> None:
    """The caller has all there is: what is left to do is not cut."""
    if turn.standing is not None:
        turn.standing.over()


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
    )
    turn.model = control.model
    turn.stream = call.wants_stream
    # Who bears a token is not for its bearer to say.
    turn.end_user = turn.principal.subject or call.end_user
    return call
