import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from trunkline.cache.v1 import cache_service_pb2 as pb
from trunkline_cache.config import Bounds
from trunkline_cache.keys import EntryId
from trunkline_cache.metrics import CacheMetrics
from trunkline_cache.service import CacheService
from trunkline_cache.stores.memory import MemoryStore
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import InvalidRequest

BODY = b'{"choices":[]}'


def make_service(clock=None, registry=None):
    numbers = itertools.count()
    store = MemoryStore(Bounds(), clock or ManualClock(), lambda: EntryId(f"entry-{next(numbers)}"))
    return CacheService(store, CacheMetrics(registry or CollectorRegistry()))


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def service(clock, registry):
    return make_service(clock, registry)


def scope(tenant="team:a", namespace=""):
    return pb.Scope(tenant=tenant, namespace=namespace)


def mark(number=0, version=1):
    return pb.Fingerprint(sha256=bytes([number]) * 32, version=version)


def lookup(**changes):
    given = {"scope": scope(), "fingerprint": mark(), "mode": pb.LOOKUP_MODE_EXACT}
    return pb.LookupRequest(**(given | changes))


def store(**changes):
    kept = pb.CachedAnswer(body_json=BODY, usage_json=b"{}", model="gpt", provider="openai")
    return pb.StoreRequest(**({"scope": scope(), "fingerprint": mark(), "answer": kept, "ttl_s": 60} | changes))


async def test_what_was_stored_comes_back_whole(service, clock):
    stored = await service.Store(store(), None)
    clock.advance(12.5)
    reply = await service.Lookup(lookup(), None)
    assert (stored.stored, stored.entry_id) == (True, reply.entry_id)
    assert (reply.status, reply.age_s, reply.reason) == (pb.LOOKUP_STATUS_HIT, 12.5, "")
    assert reply.answer == store().answer


async def test_a_miss_says_why(service, clock):
    assert (await service.Lookup(lookup(), None)).reason == "not-found"
    await service.Store(store(), None)
    clock.advance(30)
    old = await service.Lookup(lookup(max_age_s=5), None)
    assert (old.status, old.reason, old.age_s) == (pb.LOOKUP_STATUS_MISS, "too-old", 30)
    clock.advance(30)
    assert (await service.Lookup(lookup(), None)).reason == "expired"


async def test_meaning_is_not_looked_up_and_says_so(service, registry):
    await service.Store(store(), None)
    reply = await service.Lookup(lookup(mode=pb.LOOKUP_MODE_SEMANTIC), None)
    assert (reply.status, reply.reason) == (pb.LOOKUP_STATUS_MISS, "semantic-off")
    labels = {"mode": "semantic", "result": "semantic-off"}
    assert registry.get_sample_value("trunkline_cache_lookups_total", labels) == 1
    assert (await service.Stats(pb.StatsRequest(), None)).misses == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scope": pb.Scope()}, "tenant is empty"),
        ({"scope": pb.Scope(namespace="n")}, "tenant is empty"),
        ({"fingerprint": pb.Fingerprint()}, "0 bytes; a SHA-256 has 32"),
        ({"mode": pb.LOOKUP_MODE_UNSPECIFIED}, "mode is not set"),
        ({"max_age_s": -1}, "max_age_s is -1"),
    ],
)
async def test_a_lookup_that_means_nothing_is_refused(service, changes, message):
    with pytest.raises(InvalidRequest, match=message):
        await service.Lookup(lookup(**changes), None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scope": pb.Scope()}, "tenant is empty"),
        ({"fingerprint": pb.Fingerprint(sha256=b"x" * 31)}, "31 bytes"),
        ({"answer": pb.CachedAnswer()}, "body_json is empty"),
        ({"answer": pb.CachedAnswer(body_json=b"{}", model="m" * 300)}, "answer.model has 300 characters"),
        ({"ttl_s": 0}, "ttl_s is 0"),
        ({"ttl_s": float("inf")}, "ttl_s is inf"),
        ({"tags": [str(number) for number in range(17)]}, "17 tags, at most 16"),
        ({"tags": ["t" * 257]}, "tags has 257 characters"),
    ],
)
async def test_what_can_never_be_found_again_is_refused(service, changes, message):
    with pytest.raises(InvalidRequest, match=message):
        await service.Store(store(**changes), None)


async def test_an_answer_over_the_bound_is_not_stored(service, registry):
    large = pb.CachedAnswer(body_json=b"x" * Bounds().entry_limit_bytes)
    reply = await service.Store(store(answer=large), None)
    assert (reply.stored, reply.reason, reply.entry_id) == (False, "too-large", "")
    assert registry.get_sample_value("trunkline_cache_stores_total", {"result": "too-large"}) == 1


@pytest.mark.parametrize(
    ("selector", "left"),
    [({"everything": True}, []), ({"model": "gpt"}, [2]), ({"tag": "t"}, [1, 2]), ({"entry_id": "entry-2"}, [0, 1])],
)
async def test_invalidation_takes_what_is_selected_in_its_scope_only(service, selector, left):
    other = pb.CachedAnswer(body_json=BODY, model="other")
    for tenant in ("team:a", "team:b"):
        await service.Store(store(scope=scope(tenant), fingerprint=mark(0), tags=["t", "u"]), None)
        await service.Store(store(scope=scope(tenant), fingerprint=mark(1), tags=["u"]), None)
        await service.Store(store(scope=scope(tenant), fingerprint=mark(2), answer=other), None)
    reply = await service.Invalidate(pb.InvalidateRequest(scope=scope("team:a"), **selector), None)
    assert reply.removed == 3 - len(left)

    async def held(tenant):
        replies = [await service.Lookup(lookup(scope=scope(tenant), fingerprint=mark(n)), None) for n in range(3)]
        return [n for n, reply in enumerate(replies) if reply.status == pb.LOOKUP_STATUS_HIT]

    assert await held("team:a") == left
    assert await held("team:b") == [0, 1, 2]


@pytest.mark.parametrize("selector", [{}, {"everything": False}])
async def test_invalidation_of_nothing_in_particular_is_refused(service, selector):
    with pytest.raises(InvalidRequest, match="nothing is selected"):
        await service.Invalidate(pb.InvalidateRequest(scope=scope(), **selector), None)


async def test_feedback_is_recorded_inside_the_scope_only(service, registry):
    entry_id = (await service.Store(store(), None)).entry_id

    async def judge(tenant, entry_id):
        request = pb.FeedbackRequest(scope=scope(tenant), entry_id=entry_id, correct=True)
        return (await service.Feedback(request, None)).recorded

    assert await judge("team:a", entry_id)
    assert not await judge("team:b", entry_id)
    assert not await judge("team:a", "entry-99")
    assert registry.get_sample_value("trunkline_cache_feedback_total", {"verdict": "correct"}) == 1


async def test_statistics_are_of_one_scope_or_of_all(service):
    for tenant in ("team:a", "team:a", "team:b"):
        await service.Lookup(lookup(scope=scope(tenant)), None)
    await service.Store(store(), None)
    await service.Lookup(lookup(), None)
    own = await service.Stats(pb.StatsRequest(scope=scope()), None)
    all_of_them = await service.Stats(pb.StatsRequest(), None)
    assert (own.hits, own.misses, own.entries) == (1, 2, 1)
    assert (all_of_them.hits, all_of_them.misses, all_of_them.size_bytes) == (1, 3, own.size_bytes)
    with pytest.raises(InvalidRequest, match="tenant is empty"):
        await service.Stats(pb.StatsRequest(scope=pb.Scope(namespace="n")), None)


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
places = st.tuples(names, st.text(st.characters(codec="utf-8"), max_size=6))


@given(st.lists(places, min_size=2, max_size=6, unique=True))
async def test_no_answer_ever_crosses_into_another_tenant_or_namespace(owners):
    """Every owner stores under the same fingerprint; each finds its own answer, also when names look alike joined."""
    service = make_service()
    for tenant, namespace in owners:
        body = repr((tenant, namespace)).encode()
        await service.Store(store(scope=scope(tenant, namespace), answer=pb.CachedAnswer(body_json=body)), None)
    for tenant, namespace in owners:
        reply = await service.Lookup(lookup(scope=scope(tenant, namespace)), None)
        assert reply.answer.body_json == repr((tenant, namespace)).encode()
    gone, *rest = owners
    await service.Invalidate(pb.InvalidateRequest(scope=scope(*gone), everything=True), None)
    assert (await service.Lookup(lookup(scope=scope(*gone)), None)).reason == "not-found"
    for owner in rest:
        assert (await service.Lookup(lookup(scope=scope(*owner)), None)).status == pb.LOOKUP_STATUS_HIT
