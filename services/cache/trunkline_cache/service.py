"""`trunkline.cache.v1` over a store: decode, call, encode."""

from collections.abc import Callable
from typing import Any

from trunkline.cache.v1 import cache_service_pb2 as pb
from trunkline.cache.v1 import cache_service_pb2_grpc as rpc
from trunkline_cache.entries import Answer, Entry, Found, Outcome
from trunkline_cache.keys import TAGS_MAX, EntryId, Key, Scope, key_of, require_seconds, require_short, scope_of
from trunkline_cache.metrics import CacheMetrics
from trunkline_cache.stores.memory import MemoryStore
from trunkline_kit.errors import InvalidRequest

SEMANTIC_OFF = "semantic-off"
"""This version has no semantic cache: every lookup by meaning is a miss with this reason."""


class CacheService(rpc.CacheServiceServicer):
    """Exact answers, inside the scope they were stored in."""

    def __init__(self, store: MemoryStore, metrics: CacheMetrics) -> None:
        self._store = store
        self._metrics = metrics

    async def Lookup(self, request: pb.LookupRequest, context: Any) -> pb.LookupResponse:  # noqa: ARG002, N802
        """Raises InvalidRequest for an empty tenant, a fingerprint of the wrong length, an unspecified mode."""
        key = _key(request.scope, request.fingerprint)
        require_seconds("max_age_s", request.max_age_s, zero_allowed=True)
        if request.mode == pb.LOOKUP_MODE_SEMANTIC:
            self._metrics.looked_up("semantic", SEMANTIC_OFF)
            return pb.LookupResponse(status=pb.LOOKUP_STATUS_MISS, reason=SEMANTIC_OFF)
        if request.mode != pb.LOOKUP_MODE_EXACT:
            raise InvalidRequest("mode is not set; ask for LOOKUP_MODE_EXACT", param="mode")
        found = self._store.lookup(key, request.max_age_s)
        self._metrics.looked_up("exact", found.outcome.value)
        return _looked_up(found)

    async def Store(self, request: pb.StoreRequest, context: Any) -> pb.StoreResponse:  # noqa: ARG002, N802
        """Raises InvalidRequest for what can never be looked up again; an answer that is too large is only refused."""
        key = _key(request.scope, request.fingerprint)
        require_seconds("ttl_s", request.ttl_s, zero_allowed=False)
        stored = self._store.store(key, _answer(request.answer), request.ttl_s, _tags(list(request.tags)))
        self._metrics.stored(stored.reason or "stored")
        if stored.entry_id is None:
            return pb.StoreResponse(stored=False, reason=stored.reason)
        return pb.StoreResponse(stored=True, entry_id=stored.entry_id)

    async def Invalidate(self, request: pb.InvalidateRequest, context: Any) -> pb.InvalidateResponse:  # noqa: ARG002, N802
        """Removes what the selector names, inside the scope only."""
        removed = self._store.invalidate(_scope(request.scope), _selector(request))
        self._metrics.invalidated(removed)
        return pb.InvalidateResponse(removed=removed)

    async def Feedback(self, request: pb.FeedbackRequest, context: Any) -> pb.FeedbackResponse:  # noqa: ARG002, N802
        """Counts a verdict on an entry that is still held. A wrong one stays until it is invalidated."""
        held = self._store.holds(_scope(request.scope), EntryId(request.entry_id))
        if held:
            self._metrics.judged(correct=request.correct)
        return pb.FeedbackResponse(recorded=held)

    async def Stats(self, request: pb.StatsRequest, context: Any) -> pb.StatsResponse:  # noqa: ARG002, N802
        """Of one scope; of all when the tenant is empty. Raises InvalidRequest for a namespace without its tenant."""
        named = request.scope.tenant or request.scope.namespace
        now = self._store.statistics(_scope(request.scope) if named else None)
        return pb.StatsResponse(
            hits=now.hits, misses=now.misses, entries=now.entries, size_bytes=now.size_bytes, evicted=now.evicted
        )


def _scope(scope: pb.Scope) -> Scope:
    return scope_of(scope.tenant, scope.namespace)


def _key(scope: pb.Scope, fingerprint: pb.Fingerprint) -> Key:
    return key_of(_scope(scope), fingerprint.version, fingerprint.sha256)


def _answer(answer: pb.CachedAnswer) -> Answer:
    if not answer.body_json:
        raise InvalidRequest("answer.body_json is empty; only whole answers are stored", param="answer")
    require_short("answer.model", answer.model)
    require_short("answer.provider", answer.provider)
    return Answer(
        body_json=answer.body_json, usage_json=answer.usage_json, model=answer.model, provider=answer.provider
    )


def _tags(tags: list[str]) -> frozenset[str]:
    if len(tags) > TAGS_MAX:
        raise InvalidRequest(f"{len(tags)} tags, at most {TAGS_MAX} are taken", param="tags")
    for tag in tags:
        require_short("tags", tag)
    return frozenset(tags)


def _selector(request: pb.InvalidateRequest) -> Callable[[Entry], bool]:
    match request.WhichOneof("selector"):
        case "everything" if request.everything:
            return lambda _entry: True
        case "model":
            return lambda entry: entry.answer.model == request.model
        case "tag":
            return lambda entry: request.tag in entry.tags
        case "entry_id":
            return lambda entry: entry.id == request.entry_id
        case _:
            raise InvalidRequest("nothing is selected; set everything, model, tag or entry_id", param="selector")


def _looked_up(found: Found) -> pb.LookupResponse:
    if found.outcome is not Outcome.HIT or found.entry is None:
        return pb.LookupResponse(status=pb.LOOKUP_STATUS_MISS, reason=found.outcome.value, age_s=found.age_s)
    answer = found.entry.answer
    return pb.LookupResponse(
        status=pb.LOOKUP_STATUS_HIT,
        answer=pb.CachedAnswer(
            body_json=answer.body_json, usage_json=answer.usage_json, model=answer.model, provider=answer.provider
        ),
        age_s=found.age_s,
        entry_id=found.entry.id,
    )
