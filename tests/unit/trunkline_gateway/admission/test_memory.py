"""The store's function and the limits in memory, side by side: the same operations, the same replies, always."""

from importlib.resources import files

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline_gateway.admission.memory import MemoryLimits
from trunkline_gateway.admission.wire import (
    Admit,
    Amend,
    Claim,
    Kind,
    Query,
    Renew,
    Settle,
    packed,
    packed_queries,
    unpacked,
    unpacked_uses,
)

DAY_MS = 86_400_000
T0_MS = 20_000 * DAY_MS + 5_000_000
BOUNDS = tuple(20_000 * DAY_MS + day * DAY_MS for day in (-1, 0, 1, 2))
TOTAL = (0,)

CLAIMS = st.one_of(
    st.builds(
        Claim, st.just(Kind.WINDOW), st.sampled_from(["r1", "r2"]), st.integers(1, 8), st.integers(1, 4), st.just(50)
    ),
    st.builds(Claim, st.just(Kind.WINDOW), st.just("t1"), st.integers(50, 200), st.integers(0, 90), st.just(3000)),
    st.builds(Claim, st.just(Kind.CONCURRENT), st.just("c1"), st.integers(1, 4), st.just(1), st.just(0)),
    st.builds(
        Claim, st.just(Kind.BUDGET), st.just("b1"), st.just(9 * 10**15), st.integers(1, 4 * 10**15), st.just(BOUNDS)
    ),
    st.builds(Claim, st.just(Kind.BUDGET), st.just("b2"), st.integers(0, 100), st.integers(1, 60), st.just(TOTAL)),
)
# A clock may step back a little; one set back by more than a window frees it, which has a test of its own.
STEPS = st.one_of(
    st.integers(0, 60), st.integers(0, 3_000), st.integers(0, 90_000), st.integers(0, DAY_MS), st.just(-1)
)
ADMITS = st.tuples(
    st.just("admit"),
    st.lists(CLAIMS, min_size=1, max_size=4, unique_by=lambda claim: claim.key),
    st.sampled_from([1_000, 30_000, 330_000]),
)
SETTLES = st.tuples(st.just("settle"), st.integers(0, 30), st.sampled_from([0.0, 0.5, 1.0, 1.5]))
RENEWS = st.tuples(st.just("renew"), st.integers(0, 30), st.sampled_from([1_000, 30_000, 330_000]))
AGAIN = st.tuples(st.just("again"), st.integers(0, 30))
SCRIPTS = st.lists(st.tuples(STEPS, st.one_of(ADMITS, ADMITS, SETTLES, RENEWS, AGAIN)), max_size=30)


def amends(claims, share):
    return tuple(Amend(c.kind, c.key, c.cost, int(c.cost * share), c.shape) for c in claims)


def operations(script):
    """Times and operations; what is no admit is of any before it, also of one that was refused, expired or settled."""
    now_ms, admits = T0_MS, []
    for step_ms, what in script:
        now_ms += step_ms
        if what[0] == "admit":
            claims = tuple(Claim(c.kind, f"tl:{{o}}:{c.key}", c.limit, c.cost, c.shape) for c in what[1])
            admits.append((now_ms, Admit(f"tl:{{o}}:lease:{len(admits)}", what[2], claims)))
            yield now_ms, admits[-1][1]
        elif admits:
            at_ms, admit = admits[what[1] % len(admits)]
            if what[0] == "settle":
                yield now_ms, Settle(admit.lease_key, at_ms, amends(admit.claims, what[2]))
            elif what[0] == "renew":
                yield now_ms, Renew(admit.lease_key, what[2], at_ms, admit.claims)
            else:
                yield now_ms, admit


def in_valkey(client, ops, now_ms):
    keys, blob = packed(ops)
    return unpacked(client.execute_command("FCALL", "trunkline_work_3", len(keys), *keys, now_ms, blob))


def read_in_valkey(client, queries, now_ms):
    keys, blob = packed_queries(queries)
    return unpacked_uses(client.execute_command("FCALL_RO", "trunkline_peek", len(keys), *keys, now_ms, blob))


ALL = tuple(
    Query(kind, f"tl:{{o}}:{key}", shape)
    for kind, key, shape in (
        (Kind.WINDOW, "r1", 50),
        (Kind.WINDOW, "t1", 3000),
        (Kind.CONCURRENT, "c1", 0),
        (Kind.BUDGET, "b1", BOUNDS),
        (Kind.BUDGET, "b2", TOTAL),
    )
)


@pytest.fixture
def loaded(valkey):
    valkey.function_load(files("trunkline_gateway.admission").joinpath("trunkline.lua").read_text(), replace=True)
    return valkey


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(SCRIPTS)
def test_both_decide_the_same(loaded, script):
    loaded.flushdb()
    memory = MemoryLimits()
    given_ms = {}
    for now_ms, op in operations(script):
        # Leases run out in the store by its own clock, in memory by the one given: here neither may.
        if now_ms >= given_ms.get(op.lease_key, now_ms + 1):
            continue
        if isinstance(op, Admit | Renew):
            given_ms[op.lease_key] = now_ms + min(op.lease_ms, 900)
        assert in_valkey(loaded, [op], now_ms) == memory.work([op], now_ms)
        assert read_in_valkey(loaded, ALL, now_ms) == memory.peek(ALL, now_ms)


@given(SCRIPTS)
@settings(max_examples=60)
def test_what_is_admitted_keeps_within_its_limits(script):
    memory, known = MemoryLimits(), set()
    for now_ms, op in operations(script):
        outcome = memory.work([op], now_ms)[0]
        if op.lease_key in known:
            continue
        known |= {op.lease_key} if not outcome.refused else set()
        if isinstance(op, Admit) and not outcome.refused:
            assert all(0 <= left <= claim.limit for (left, _), claim in zip(outcome.rows, op.claims, strict=True))
        if isinstance(op, Admit) and outcome.refused:
            again = memory.work([op], now_ms)[0]
            assert again == outcome, "a refused request changes nothing"


@given(SCRIPTS, st.integers(1, 9))
@settings(max_examples=60)
def test_settling_twice_is_settling_once(script, seed):
    once, twice = MemoryLimits(), MemoryLimits()
    for now_ms, op in operations(script):
        first = once.work([op], now_ms)
        assert twice.work([op], now_ms) == first
        if isinstance(op, Settle):
            twice.work([op], now_ms)


def window(key, limit, cost):
    return Claim(Kind.WINDOW, f"tl:{{o}}:{key}", limit, cost, 3000)


def test_all_levels_or_none(loaded):
    first = Admit("", 1_000, (window("team", 100, 10), window("key", 5, 10)))
    assert in_valkey(loaded, [first], T0_MS)[0].refused == 2
    assert loaded.keys("*") == [], "nothing was reserved"


def test_the_longest_wait_is_the_one_that_is_told(loaded):
    budget = Claim(Kind.BUDGET, "tl:{o}:b", 5, 9, TOTAL)
    outcome = in_valkey(loaded, [Admit("", 1_000, (window("key", 1, 1), budget))], T0_MS)[0]
    assert (outcome.refused, outcome.wait_ms) == (2, -1)


def test_a_dead_gateways_leases_run_out(loaded):
    claim = Claim(Kind.CONCURRENT, "tl:{o}:c", 1, 1)
    ops = [Admit(f"tl:{{o}}:lease:{n}", 60_000, (claim,)) for n in range(2)]
    assert [outcome.refused for outcome in in_valkey(loaded, ops, T0_MS)] == [0, 1]
    assert in_valkey(loaded, ops[1:], T0_MS + 59_000)[0].refused == 1
    assert in_valkey(loaded, ops[1:], T0_MS + 65_001)[0].refused == 0


def test_every_key_expires_but_a_total(loaded):
    claims = (
        window("w", 9, 1),
        Claim(Kind.CONCURRENT, "tl:{o}:c", 1, 1),
        Claim(Kind.BUDGET, "tl:{o}:b", 99, 1, BOUNDS),
        Claim(Kind.BUDGET, "tl:{o}:total", 99, 1, TOTAL),
    )
    in_valkey(loaded, [Admit("tl:{o}:lease:1", 60_000, claims)], T0_MS)
    endless = {key for key in loaded.keys("*") if loaded.pttl(key) < 0}
    assert endless == {b"tl:{o}:total"}


def test_time_is_the_stores_own_where_none_is_given(loaded):
    seconds, micros = loaded.time()
    outcome = in_valkey(loaded, [Admit("", 1_000, (window("w", 9, 1),))], 0)[0]
    assert 0 <= outcome.now_ms - (seconds * 1000 + micros // 1000) < 1_000


def test_a_clock_that_was_set_back_far_does_not_lock_anybody_out(loaded):
    full = [Admit("", 1_000, (window("w", 5, 5),))]
    assert in_valkey(loaded, full, T0_MS)[0].refused == 0
    assert in_valkey(loaded, full, T0_MS - 1_000)[0].refused == 1
    assert in_valkey(loaded, full, T0_MS - 3_600_000)[0].refused == 0


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(SCRIPTS)
def test_every_key_expires_after_any_sequence(loaded, script):
    loaded.flushdb()
    for now_ms, op in operations(script):
        in_valkey(loaded, [op], now_ms)
        endless = {key for key in loaded.keys("*") if loaded.pttl(key) == -1}
        assert endless <= {b"tl:{o}:b2"}, "a total never ends"


def test_a_key_that_was_emptied_and_is_used_again_expires(loaded):
    """Also one that an older version of the function has left without a time at which it goes."""
    steps = (
        Admit("", 1_000, (window("w", 9, 1),)),
        Admit("", 1_000, (Claim(Kind.CONCURRENT, "tl:{o}:c", 9, 1),)),
    )
    for step in steps:
        for now_ms in (T0_MS, T0_MS + 21 * 3_000, T0_MS + 50 * 3_000):
            in_valkey(loaded, [step], now_ms)
            assert loaded.pttl(step.claims[0].key) > 0
        loaded.persist(step.claims[0].key)
        in_valkey(loaded, [step], T0_MS + 50 * 3_000)
        assert loaded.pttl(step.claims[0].key) > 0


def test_end_users_do_not_make_a_spent_budget_forgotten():
    memory = MemoryLimits(counters_max=100)
    money = Claim(Kind.BUDGET, "tl:{acme}:org:acme:budget", 100, 100, BOUNDS)
    memory.work([Admit("l1", 30_000, (money,)), Settle("l1", T0_MS, amends((money,), 1.0))], T0_MS)
    for number in range(1_000):
        user = Claim(Kind.WINDOW, f"tl:{{evil}}:key:k:user:{number}", 10, 1, 50)
        plain = Claim(Kind.WINDOW, f"tl:{{evil}}:key:{number}", 10, 1, 50)
        memory.work([Admit("", 30_000, (user, plain))], T0_MS)
    assert memory.work([Admit("l2", 30_000, (money,))], T0_MS)[0].refused == 1


def test_what_is_settled_does_not_make_what_is_under_way_forgotten():
    memory = MemoryLimits(counters_max=10)
    live = concurrent("live")
    memory.work([live], T0_MS)
    for number in range(50):
        other = Admit(f"l{number}", 30_000, (window("w", 99, 1),))
        memory.work([other, Settle(other.lease_key, T0_MS, amends(other.claims, 1.0))], T0_MS)
    memory.work([Settle(live.lease_key, T0_MS, amends(live.claims, 0))], T0_MS)
    assert memory.work([concurrent("next")], T0_MS)[0].refused == 0
    assert len(memory._settled) == 10


def test_what_is_refused_makes_no_counters():
    memory = MemoryLimits()
    assert memory.work([Admit("", 1_000, (window("a", 9, 1), window("b", 1, 2)))], T0_MS)[0].refused == 2
    assert len(memory._counters) == 0


def test_memory_is_bounded():
    memory = MemoryLimits(counters_max=10)
    for number in range(100):
        memory.work([Admit(f"l{number}", 1_000, (window(f"w{number}", 9, 1),))], T0_MS)
    assert len(memory._counters) == len(memory._leases) == 10
    memory.clear()
    assert len(memory._counters) == len(memory._leases) == 0


@given(SCRIPTS)
@settings(max_examples=60)
def test_admitting_twice_is_admitting_once(script):
    once, twice = MemoryLimits(), MemoryLimits()
    for now_ms, op in operations(script):
        first = once.work([op], now_ms)
        assert twice.work([op], now_ms) == first
        if isinstance(op, Admit) and not first[0].refused:
            again = twice.work([op], now_ms)[0]
            assert (again.refused, [left for left, _ in again.rows]) == (0, [left for left, _ in first[0].rows])


def concurrent(lease, *, limit=1):
    return Admit(f"tl:{{o}}:lease:{lease}", 30_000, (Claim(Kind.CONCURRENT, "tl:{o}:c", limit, 1),))


def renewed(op, at_ms):
    return Renew(op.lease_key, 30_000, at_ms, op.claims)


@pytest.mark.parametrize("where", ["valkey", "memory"])
def test_a_renewed_reservation_stays_and_one_that_is_not_renewed_goes_within_forty_seconds(loaded, where):
    memory = MemoryLimits()

    def done(op, now_ms):
        return in_valkey(loaded, [op], now_ms)[0] if where == "valkey" else memory.work([op], now_ms)[0]

    alive, other = concurrent("alive"), concurrent("other")
    assert done(alive, T0_MS).refused == 0
    for second in range(10, 300, 10):
        done(renewed(alive, T0_MS), T0_MS + second * 1000)
        assert done(other, T0_MS + second * 1000).refused == 1
    # The gateway is killed: nothing more is heard of it.
    assert done(other, T0_MS + 319_000).refused == 1
    assert done(other, T0_MS + 290_000 + 40_000).refused == 0


@pytest.mark.parametrize("share", [0.5, 1.0, 2.0])
def test_a_reservation_that_ran_out_and_was_renewed_settles(loaded, share):
    """Money and places as any other. What windows have counted nobody knows: they count what was used once more."""
    claims = (
        Claim(Kind.WINDOW, "tl:{o}:w", 1_000, 100, 3000),
        Claim(Kind.BUDGET, "tl:{o}:b", 1_000, 100, BOUNDS),
        Claim(Kind.CONCURRENT, "tl:{o}:c", 1, 1),
    )
    op = Admit("tl:{o}:lease:1", 30_000, claims)
    queries = [Query(claim.kind, claim.key, claim.shape) for claim in claims]
    for forgotten in (False, True):
        loaded.flushdb()
        in_valkey(loaded, [op], T0_MS)
        if forgotten:
            loaded.delete(op.lease_key)
        in_valkey(loaded, [renewed(op, T0_MS)], T0_MS + 36_000)
        assert [used for used, _ in read_in_valkey(loaded, queries, T0_MS + 36_000)] == [100, 100, 1]
        in_valkey(loaded, [Settle(op.lease_key, T0_MS, amends(claims, share))], T0_MS + 37_000)
        used = [used for used, _ in read_in_valkey(loaded, queries, T0_MS + 37_000)]
        counted = 100 + 100 * share if forgotten else 100 * share
        assert used == [round(counted), round(100 * share), 0]


def test_what_was_admitted_without_the_store_is_counted_there_once(loaded):
    """Renewed first, or settled at once: the store had never heard of it."""
    claims = (Claim(Kind.WINDOW, "tl:{o}:w", 1_000, 100, 3000), Claim(Kind.BUDGET, "tl:{o}:b", 1_000, 100, BOUNDS))
    queries = [Query(claim.kind, claim.key, claim.shape) for claim in claims]
    op = Admit("tl:{o}:lease:1", 30_000, claims)
    for renewals in (0, 1, 2):
        loaded.flushdb()
        for _ in range(renewals):
            in_valkey(loaded, [renewed(op, T0_MS)], T0_MS + 5_000)
        in_valkey(loaded, [Settle(op.lease_key, T0_MS, amends(claims, 0.7))], T0_MS + 6_000)
        assert [used for used, _ in read_in_valkey(loaded, queries, T0_MS + 6_000)] == [70, 70]


def test_a_settled_request_is_not_renewed(loaded):
    op = concurrent("late")
    in_valkey(loaded, [op, Settle(op.lease_key, T0_MS, amends(op.claims, 0)), renewed(op, T0_MS)], T0_MS)
    assert in_valkey(loaded, [concurrent("next")], T0_MS)[0].refused == 0


def test_an_admission_that_comes_after_its_own_settlement_reserves_nothing(loaded):
    op = concurrent("late")
    in_valkey(loaded, [Settle(op.lease_key, T0_MS, amends(op.claims, 0)), op], T0_MS)
    assert in_valkey(loaded, [concurrent("next")], T0_MS)[0].refused == 0


def test_what_gateways_of_version_1_send_means_what_it_did(loaded):
    op = concurrent("old")
    keys, blob = [op.lease_key, "tl:{o}:c"], msgspec.msgpack.encode([(1, 1, 30_000, [(2, 2, 1, 1, 0)])])
    for refused in (0, 0):
        (reply,) = unpacked(loaded.execute_command("FCALL", "trunkline_work", len(keys), *keys, T0_MS, blob))
        assert reply.refused == refused
    blob = msgspec.msgpack.encode([(2, 1, T0_MS, [(2, 2, 1, 0, 0)])])
    loaded.execute_command("FCALL", "trunkline_work", len(keys), *keys, T0_MS, blob)
    assert read_in_valkey(loaded, [Query(Kind.CONCURRENT, "tl:{o}:c")], T0_MS) == [(0, 0)]
