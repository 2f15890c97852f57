"""Which of several replicas of one model gets a request. Everything is counted in one unit, seconds of work.

A replica's price is the time until it would have read this prompt: what it has still to read and this prompt, less
what its prefix cache holds, by the speed at which it reads; what all those wait longer who come after it; the wait for
a slot, where all are taken; and a term that grows as its memory fills. Prompts that begin alike stay together as long
as that saves more than the queue there costs, and a popular prefix spills over by itself. The other rules are there to
compare with.

What others wait longer is what makes the rule far-sighted. Those who come while this prompt is waited for and read wait
for all of it, those who come later for less. So a long prompt goes where few others do, and a beginning stays at home
the longer the busier all are, while on an idle fleet it is read where that is soonest.

Sources: the sum of queue, tokens in flight and memory pressure is SMG's `least_load` (lightseekorg/smg, 2026-08); the
prefix in the same sum, and the wait for a slot are ours. What others wait is the first policy iteration of a random
split, with the size of each job known: Hyytiä, Penttinen and Aalto, "Size- and state-aware dispatching problem with
queue-specific job sizes", EJOR 217(2), 2012; how many come is Little's law. Mitzenmacher, "The Power of Two Choices in
Randomized Load Balancing", IEEE TPDS 12(10), 2001. Bounded loads: see `affinity`.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from trunkline_policy.affinity import has_room, lean

MEMORY_S = 0.15
"""Seconds that a half-full memory counts for; SMG's lambda."""
_FULL = 0.999
READING_SHARE = 0.55
"""Of its time that a replica reads while it also writes: our workers read for 1.25 decode steps, then make one."""
FOLLOWERS = 2.0
"""How many wait for a prompt, by those that come meanwhile: a queue that is half busy passes a delay on until it is
empty, twice as many."""
TOKENS_PER_S = 2000.0
"""Speed of reading where nobody has said one; SMG's."""
_SHORTEST_S, _SLOWEST_PER_S = 0.001, 1.0
"""No request is there for less, and nobody reads fewer tokens: prices stay finite."""
SAME_S = 0.001
"""Prices this near to the best are drawn from: less is noise, and a herd would follow it."""


class Load(Struct, frozen=True, kw_only=True):
    """What a replica has said of itself, in its latest report."""

    waiting_tokens: float = 0.0
    """Of prompts that it has still to read, less what its prefix cache holds."""
    running: int = 0
    waiting: int = 0
    slots: int = 0
    """Requests that it works on at a time; 0 where it has not said."""
    memory_share: float = 0.0
    """Of its KV memory, 0 to 1."""
    tokens_per_s: float = 0.0
    """Of a prompt, while it reads; 0 where it is not known yet."""
    age_s: float = 0.0
    """Since it said so."""


class Replica(Struct, frozen=True, kw_only=True):
    """One that could be asked, as seen from here."""

    key: str
    load: Load | None = None
    """None where it has said nothing, or nothing lately: not known, which is not the same as idle."""
    sent: int = 0
    """Requests sent from here since that report."""
    sent_tokens: float = 0.0
    """Of those, less what the prefix cache holds."""
    unread_tokens: float = 0.0
    """Of all requests sent from here that have not had their first token."""
    first_tokens: float = 0.0
    """Of those, what belongs to the oldest, which may be half read."""
    in_flight: int = 0
    """Requests of ours that it works on."""
    hit_tokens: float = 0.0
    """Of the prompt in question, what its prefix cache should hold."""
    request_s: float = 0.0
    """How long one of our requests has a slot, usually: from its first token on; 0 where it is not known."""
    stay_s: float = 0.0
    """How long one of our requests is there, usually, its wait included; 0 where it is not known."""


class Asked(Struct, frozen=True, kw_only=True):
    """What is to be sent."""

    tokens: float = 0.0
    """Of the prompt."""
    key: bytes = b""
    """The same for prompts that begin alike; empty for one that is like no other."""
    number: int = 0
    """How many were sent before it."""


Roll = Callable[[], float]
"""A die: anything in [0, 1), each time it is called."""
Rule = Callable[[Asked, Sequence[Replica], Roll], int]
"""An index. There is at least one replica."""


class Usual(Struct, frozen=True):
    """What stands for what a replica has not said: the mean of those that have."""

    tokens_per_s: float
    backlog_tokens: float
    memory_share: float
    stay_s: float
    """Of all that know one, also where there is no report; 0 where nobody does."""


def usual_of(replicas: Sequence[Replica]) -> Usual:
    """Of all that have a fresh report."""
    loads = [(replica, replica.load) for replica in replicas if replica.load is not None]
    stays = [replica.stay_s for replica in replicas if replica.stay_s > 0]
    speeds = [speed_of(load, TOKENS_PER_S) for _, load in loads if load.tokens_per_s > 0]
    usual_per_s, count = sum(speeds) / len(speeds) if speeds else TOKENS_PER_S, max(1, len(loads))
    return Usual(
        usual_per_s,
        sum(backlog_tokens(replica, load, speed_of(load, usual_per_s)) for replica, load in loads) / count,
        sum(load.memory_share for _, load in loads) / count,
        sum(stays) / len(stays) if stays else 0.0,
    )


def backlog_tokens(replica: Replica, load: Load, tokens_per_s: float) -> float:
    """Still to be read there: what it said, less what it has read since, and what went there since.

    But never less than what we wait for behind the one that it reads.
    """
    left = max(0.0, load.waiting_tokens - READING_SHARE * tokens_per_s * load.age_s)
    return max(left + replica.sent_tokens, replica.unread_tokens - replica.first_tokens)


def speed_of(load: Load, usual_per_s: float) -> float:
    """Tokens that it reads in a second, while it reads."""
    return max(_SLOWEST_PER_S, load.tokens_per_s) if load.tokens_per_s > 0 else usual_per_s


def price_s(tokens: float, replica: Replica, usual: Usual) -> float:
    """Seconds that a prompt of so many tokens costs at this replica, its caller and others. Never negative."""
    load = replica.load
    own_tokens = max(0.0, tokens - replica.hit_tokens)
    if load is None:
        backlog = max(usual.backlog_tokens, replica.unread_tokens)
        there, slot_s, speed, share = replica.in_flight, 0.0, usual.tokens_per_s, usual.memory_share
    else:
        speed, share = speed_of(load, usual.tokens_per_s), load.memory_share
        backlog = backlog_tokens(replica, load, speed)
        there = max(load.running + load.waiting + replica.sent, replica.in_flight)
        slot_s = _slot_s(there, load, replica.request_s)
    wait_s, own_s = backlog / (READING_SHARE * speed), own_tokens / (READING_SHARE * speed)
    return wait_s + own_s + _others_s(wait_s, own_s, there, usual.stay_s) + slot_s + _memory_s(share)


def _others_s(wait_s: float, own_s: float, there: int, stay_s: float) -> float:
    """Seconds that all those together wait longer who come later; once its own where nobody knows how many come."""
    if stay_s <= 0:
        return own_s
    return FOLLOWERS * there / max(_SHORTEST_S, stay_s) * own_s * (wait_s + own_s / 2)


def _slot_s(there: int, load: Load, request_s: float) -> float:
    """The wait for a slot: one comes free every so often."""
    return max(0, there + 1 - load.slots) * request_s / load.slots if load.slots > 0 else 0.0


def _memory_s(share: float) -> float:
    share = min(max(share, 0.0), _FULL)
    return MEMORY_S * share / (1.0 - share)


def least_seconds(asked: Asked, replicas: Sequence[Replica], roll: Roll) -> int:
    """The lowest price; of several that are as low any that has the least to read for it: no work is done twice."""
    usual = usual_of(replicas)
    prices = [price_s(asked.tokens, replica, usual) for replica in replicas]
    bound_s = min(prices) + SAME_S
    cheap = [index for index, price in enumerate(prices) if price <= bound_s]
    most = max(replicas[index].hit_tokens for index in cheap)
    best = [index for index in cheap if replicas[index].hit_tokens >= most]
    return best[_drawn(len(best), roll)]


def round_robin(asked: Asked, replicas: Sequence[Replica], roll: Roll) -> int:  # noqa: ARG001 - the rules' signature
    """One after the other, in the order of their names."""
    order = sorted(range(len(replicas)), key=lambda index: replicas[index].key)
    return order[asked.number % len(replicas)]


def two_choices(asked: Asked, replicas: Sequence[Replica], roll: Roll) -> int:  # noqa: ARG001 - the rules' signature
    """Of two by chance the one that has fewer requests of ours."""
    if len(replicas) == 1:
        return 0
    one = _drawn(len(replicas), roll)
    other = (one + 1 + _drawn(len(replicas) - 1, roll)) % len(replicas)
    return one if replicas[one].in_flight <= replicas[other].in_flight else other


def bounded_hash(asked: Asked, replicas: Sequence[Replica], roll: Roll) -> int:
    """Where the same beginning goes always; the next one of its order while that has clearly more than its share."""
    key = asked.key or repr(roll()).encode()
    order = sorted(range(len(replicas)), key=lambda index: lean(key, replicas[index].key), reverse=True)
    total = sum(replica.in_flight for replica in replicas)
    for index in order:
        if has_room(replicas[index].in_flight, 1.0, total, float(len(replicas))):
            return index
    return order[0]


def _drawn(count: int, roll: Roll) -> int:
    """One of `count` indexes. `roll` may be rounded up to 1."""
    return min(count - 1, int(roll() * count))


RULES: dict[str, Rule] = {
    "seconds": least_seconds,
    "round_robin": round_robin,
    "p2c": two_choices,
    "hash": bounded_hash,
}
