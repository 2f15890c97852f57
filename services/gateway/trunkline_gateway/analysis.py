"""What is asked before a request is sent: is it allowed, is its answer known, which model should answer.

Three services are asked at the same time and heard in a fixed order: deny, then cached, then route. Each is asked only
where the key's policy or the model's name calls for it, and each has its own answer to "and if it is down?":
guardrails: a policy that blocks or redacts fails closed, one that only flags fails open; cache: a miss; router: the
route's `otherwise`. All three say so in a header and a metric.
"""

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

import grpc
import msgspec

from trunkline.cache.v1 import cache_service_pb2 as cache_pb
from trunkline.guardrails.v1 import guardrails_service_pb2 as guard_pb
from trunkline.router.v1 import router_service_pb2 as router_pb
from trunkline_gateway.auth import Principal
from trunkline_gateway.clients import Clients
from trunkline_gateway.prompt import DECLARED, TextPart, redacted, text_parts
from trunkline_gateway.providers.base import Call
from trunkline_gateway.telemetry import Meters
from trunkline_gateway.turn import Turn
from trunkline_kit.errors import ContentBlocked, Unavailable
from trunkline_kit.settings import CacheScope, ExactCache, OnFail, Policy, Route

GUARD_TIMEOUT_S = 2.0
CACHE_TIMEOUT_S = 0.25
ROUTER_TIMEOUT_S = 1.0

_STRICT = frozenset({OnFail.BLOCK, OnFail.REDACT})


class Slot(msgspec.Struct, frozen=True):
    """Where in the cache this request's answer belongs."""

    scope: cache_pb.Scope
    fingerprint: cache_pb.Fingerprint
    ttl_s: float


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What is known before the plan is made."""

    body: bytes
    """With redactions applied."""
    cached: cache_pb.CachedAnswer | None = None
    slot: Slot | None = None
    """Where to store the answer; None where it must not be stored."""
    models: tuple[str, ...] = ()
    """What a route decided: model names in order; empty for a plain model."""


class Analyst:
    """Asks the services. Holds nothing of a request."""

    def __init__(self, clients: Clients, meters: Meters) -> None:
        self._clients = clients
        self._meters = meters

    async def findings(
        self, turn: Turn, call: Call, policy: Policy | None, route: Route | None, fingerprint: bytes | None
    ) -> Findings:
        """Raises ContentBlocked, or Unavailable where a strict guardrail cannot be asked."""
        guarded = policy is not None and bool(policy.guardrails.input)
        slot = None if policy is None else _slot(turn, policy.cache.exact, fingerprint)
        if not guarded and slot is None and route is None:
            return Findings(body=call.body)
        parts = text_parts(call.surface, call.body) if guarded or route is not None else ()
        async with asyncio.TaskGroup() as group:
            checking = group.create_task(self._check(turn, parts)) if guarded else None
            looking = group.create_task(self._look_up(turn, slot)) if slot else None
            routing = group.create_task(self._route(turn, route, parts)) if route else None
        body = call.body
        if checking is not None and policy is not None:
            body = self._judged(turn, call, policy, checking.result())
        return Findings(
            body=body,
            cached=looking.result() if looking else None,
            slot=slot,
            models=routing.result() if routing else (),
        )

    async def _check(self, turn: Turn, parts: Sequence[TextPart]) -> guard_pb.CheckInputResponse | None:
        request = guard_pb.CheckInputRequest(
            policy=turn.principal.policy or "",
            parts=[guard_pb.InputPart(path=part.path, role=part.role, text=part.text) for part in parts],
            tenant=turn.principal.team,
            request_id=turn.request_id,
        )
        try:
            reply: guard_pb.CheckInputResponse = await self._clients.guardrails.CheckInput(
                request, timeout=GUARD_TIMEOUT_S
            )
        except grpc.aio.AioRpcError:
            self._meters.check("guardrails", "unavailable")
            return None
        self._meters.check("guardrails", guard_pb.Action.Name(reply.action).removeprefix("ACTION_").lower())
        return reply

    def _judged(self, turn: Turn, call: Call, policy: Policy, reply: guard_pb.CheckInputResponse | None) -> bytes:
        """The body that may go on."""
        if reply is None:
            if any(check.on_fail in _STRICT for check in policy.guardrails.input):
                raise Unavailable("the guardrails of your key's policy cannot be asked right now; nothing was sent")
            turn.guardrails = "unavailable"
            return call.body
        kinds = sorted({finding.kind or finding.check for finding in reply.findings})
        if reply.action == guard_pb.ACTION_BLOCK:
            turn.guardrails = f"block:{','.join(kinds)}"
            blocking = [item for item in reply.findings if item.action == guard_pb.ACTION_BLOCK] or reply.findings
            what = ", ".join(sorted({f"{item.check} ({item.kind})" for item in blocking}))
            raise ContentBlocked(f"the request was blocked by a guardrail: {what or 'policy'}", param=_place(blocking))
        if reply.action == guard_pb.ACTION_REDACT:
            turn.guardrails = f"redact:{','.join(kinds)}"
            return redacted(call.surface, call.body, reply.redactions)
        turn.guardrails = f"flag:{','.join(kinds)}" if kinds else "allow"
        return call.body

    async def _look_up(self, turn: Turn, slot: Slot) -> cache_pb.CachedAnswer | None:
        request = cache_pb.LookupRequest(
            scope=slot.scope, fingerprint=slot.fingerprint, mode=cache_pb.LOOKUP_MODE_EXACT, model=turn.model
        )
        try:
            reply = await self._clients.cache.Lookup(request, timeout=CACHE_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            turn.cache = "miss"
            self._meters.check("cache", "unavailable")
            return None
        hit = reply.status == cache_pb.LOOKUP_STATUS_HIT
        bypass = reply.status == cache_pb.LOOKUP_STATUS_BYPASS
        turn.cache = "hit" if hit else "bypass" if bypass else "miss"
        self._meters.check("cache", turn.cache)
        return reply.answer if hit else None

    async def _route(self, turn: Turn, route: Route, parts: Sequence[TextPart]) -> tuple[str, ...]:
        request = router_pb.AnalyzeRequest(
            parts=[router_pb.TextPart(role=part.role, text=part.text) for part in parts if part.role is not DECLARED],
            route_set=turn.model,
            tenant=turn.principal.team,
        )
        try:
            reply = await self._clients.router.Analyze(request, timeout=ROUTER_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            self._meters.check("router", "unavailable")
            turn.route = f"{turn.model};router-unavailable"
            return route.otherwise
        self._meters.check("router", "ok")
        turn.route = ";".join((turn.model, *reply.reasons[:1]))
        return tuple(reply.decision) or route.otherwise

    async def store(self, turn: Turn, slot: Slot, body: bytes) -> None:
        """Keep a complete, clean answer. A cache that is down costs the entry, nothing else."""
        target = turn.target
        answer = cache_pb.CachedAnswer(
            body_json=body,
            model=target.model if target else "",
            provider=target.provider if target else "",
        )
        request = cache_pb.StoreRequest(scope=slot.scope, fingerprint=slot.fingerprint, answer=answer, ttl_s=slot.ttl_s)
        try:
            reply = await self._clients.cache.Store(request, timeout=CACHE_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            self._meters.check("cache", "store_failed")
            return
        self._meters.check("cache", "stored" if reply.stored else "not_stored")


def _slot(turn: Turn, exact: ExactCache | None, fingerprint: bytes | None) -> Slot | None:
    """None where this request has no place in the cache."""
    if exact is None:
        return None
    if fingerprint is None:
        turn.cache = "bypass"
        return None
    principal = turn.principal
    return Slot(
        # Keys under another policy may have another guard before the model: never one answer for both.
        scope=cache_pb.Scope(tenant=tenant_of(principal, exact.scope), namespace=principal.policy or ""),
        fingerprint=cache_pb.Fingerprint(sha256=fingerprint, version=1),
        ttl_s=exact.ttl_s,
    )


def tenant_of(principal: Principal, scope: CacheScope) -> str:
    """Who shares answers with this caller. Names are quoted, so that no two teams make the same text."""
    if scope is CacheScope.TEAM:
        return f"team:{quote(principal.org, safe='')}/{quote(principal.team, safe='')}"
    if principal.subject:
        # All tokens of an issuer have one key id.
        who = (principal.key_id, principal.org, principal.team, principal.subject)
        return f"token:{'/'.join(quote(part, safe='') for part in who)}"
    return f"key:{principal.key_id}"


def _place(findings: Sequence[guard_pb.Finding]) -> str | None:
    return findings[0].path.strip("/").replace("/", ".") or None if findings else None
