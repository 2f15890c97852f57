"""The way of one request: resolve, analyse, plan, attempt, relay, settle. HTTP and gRPC both call it."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import msgspec
from opentelemetry.trace import SpanKind

from trunkline_gateway import body as bodies
from trunkline_gateway.admission.gate import Gate
from trunkline_gateway.admission.gate import Terms as AdmissionTerms
from trunkline_gateway.analysis import Analyst, Findings, Slot
from trunkline_gateway.attempts import Attempts
from trunkline_gateway.callers import Caller, Callers
from trunkline_gateway.catalogue import Catalogue, Offer
from trunkline_gateway.chunks import look, usage_in
from trunkline_gateway.fingerprint import fingerprint
from trunkline_gateway.ledger.bookkeeping import Bookkeeper
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.pricing import Pricing
from trunkline_gateway.providers.base import Answer, Call, Provider, Terms
from trunkline_gateway.relay import assembly
from trunkline_gateway.relay.streaming import Clocks, Relay, Started, begin
from trunkline_gateway.sink import Sink
from trunkline_gateway.standing import OpenRequests, Standing
from trunkline_gateway.surface import CONTROL_DECODERS, OPERATIONS
from trunkline_gateway.telemetry import Meters, describe, log_turn, trace_id_of
from trunkline_gateway.tenancy import Tenants
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import Clock
from trunkline_kit.errors import KeyRevoked, ModelNotFound, TrunklineError
from trunkline_kit.health import Readiness
from trunkline_kit.settings import Route
from trunkline_kit.tracing import Tracing


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
                await self._answer(turn, body, sink, state, fresh=fresh)
        except asyncio.CancelledError:
            if turn.outcome != "ok":
                turn.outcome, turn.status = "cancelled", 499
            raise
        except TrunklineError as error:
            turn.outcome, turn.status = error.reason, error.http_status
            raise
        except BaseException:
            turn.outcome, turn.status = "internal_error", 500
            raise
        finally:
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
        targets = state.catalogue.targets(findings.models or (offer.name,), self._attempts.dice)
        targets = state.pricing.allowed(targets, self._clock.now_s(), turn.principal.team)
        errand = Errand(
            call=call,
            offer=offer,
            targets=targets,
            providers=state.providers,
            slot=findings.slot,
            pricing=state.pricing,
            opened=partial(self._bookkeeper.begin, turn, body),
        )
        if turn.stream:
            await self._stream(turn, errand, sink)
        else:
            await self._whole(turn, errand, sink)

    async def _analysed(
        self, turn: Turn, call: Call, found: Offer | Route, catalogue: Catalogue, *, fresh: bool
    ) -> tuple[Offer, Findings]:
        policy = catalogue.policy_of(turn.principal)
        route = None if isinstance(found, Offer) else found
        turn.model = found.name if isinstance(found, Offer) else call.control.model
        if policy is None and isinstance(found, Offer):
            return found, Findings(body=call.body)
        mark = None
        if policy is not None and policy.cache.exact is not None and not fresh:
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

    async def _whole(self, turn: Turn, errand: "Errand", sink: Sink) -> None:
        deadline_s = asyncio.get_running_loop().time() + errand.offer.timeouts.total_s
        answer = await self._attempts.run(turn, errand.offer, errand.targets, deadline_s, errand.whole)
        turn.usage, turn.outcome, turn.status = answer.usage, "ok", 200
        self._bookkeeper.price(turn, errand.pricing, answer.body)
        await sink.whole(answer.body, turn.headers())
        slot = errand.slot_for(turn)
        if slot is not None and assembly.ended_cleanly(answer.body):
            await self._analyst.store(turn, slot, answer.body)

    async def _stream(self, turn: Turn, errand: "Errand", sink: Sink) -> None:
        timeouts = errand.offer.timeouts
        deadline_s = asyncio.get_running_loop().time() + timeouts.total_s
        started = await self._attempts.run(turn, errand.offer, errand.targets, deadline_s, errand.begin)
        turn.first_token_s = self._clock.monotonic_s() - turn.started_s
        provider = turn.target.provider if turn.target else ""
        clocks = Clocks(idle_s=timeouts.idle_s, deadline_s=deadline_s)
        relay = Relay(errand.call, provider, clocks, turn.standing, keep=errand.slot is not None)
        relay.progress = self._bookkeeper.progress(turn)
        turn.status = 200
        try:
            await sink.open(turn.headers())
            await relay.run(started, sink)
        finally:
            started.stream.cut()
            turn.usage, turn.pieces = relay.relayed.usage, relay.relayed.pieces
            turn.outcome = relay.relayed.outcome
        if turn.outcome == KeyRevoked.reason:
            return
        if not relay.relayed.complete:
            self._meters.broken(provider)
        elif (slot := errand.slot_for(turn)) is not None and relay.relayed.chunks:
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


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """A request with its plan."""

    call: Call
    offer: Offer
    targets: tuple[Target, ...]
    providers: Mapping[str, Provider]
    slot: Slot | None
    pricing: Pricing
    opened: Callable[[], None]
    """Called before each attempt is sent."""

    def slot_for(self, turn: Turn) -> Slot | None:
        """Where the answer is cached. Not one of a fallback: it would stand in for the model long after the outage."""
        return self.slot if turn.target in self.offer.targets else None

    async def whole(self, target: Target, terms: Terms) -> Answer:
        self.opened()
        return await self.providers[target.provider].whole(self.call, target, terms)

    async def begin(self, target: Target, terms: Terms) -> Started:
        self.opened()
        return await begin(self.providers[target.provider], self.call, target, terms)


def call_of(turn: Turn, body: bytes) -> Call:
    """Decode what we decide on. Raises InvalidRequest."""
    control = bodies.decode(body, CONTROL_DECODERS[turn.surface])
    call = Call(
        surface=turn.surface,
        body=body,
        control=control,
        request_id=turn.request_id,
        cache_salt=f"{turn.principal.org}/{turn.principal.team}".encode(),
    )
    turn.model = control.model
    turn.stream = call.wants_stream
    # Who bears a token is not for its bearer to say.
    turn.end_user = turn.principal.subject or call.end_user
    return call
