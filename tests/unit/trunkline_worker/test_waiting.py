"""Laws of the queue."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline_worker.generation import GenerationRequest
from trunkline_worker.runtimes.fake import EOS_ID, ByteCodec
from trunkline_worker.sequence import Limits, Sequence
from trunkline_worker.waiting import Waiting, is_too_late

LIMITS = Limits(slot_tokens=100, eos_ids=frozenset({EOS_ID}))
PROMOTE_S = 5.0


def waits(name: str, arrived_s: float = 0.0, **options) -> Sequence:
    request = GenerationRequest(request_id=name, **{"prompt_ids": (1,) * 10} | options)
    return Sequence(request, ByteCodec(), LIMITS, arrived_s)


def order(queue: Waiting) -> list[str]:
    names = []
    while (sequence := queue.pop()) is not None:
        names.append(sequence.request.request_id)
    return names


def test_priority_then_arrival():
    queue = Waiting(PROMOTE_S)
    for name, priority in (("first", 0), ("second", 0), ("urgent", 5), ("idle", -1)):
        queue.push(waits(name, priority=priority))
    assert order(queue) == ["urgent", "first", "second", "idle"]


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 100)), max_size=30))
def test_nobody_is_overtaken_for_ever(asked):
    queue = Waiting(PROMOTE_S)
    for number, (priority, arrived_s) in enumerate(asked):
        queue.push(waits(str(number), arrived_s, priority=priority))
    place = {name: at for at, name in enumerate(order(queue))}
    assert len(place) == len(asked)
    for one, (priority, arrived_s) in enumerate(asked):
        for other, (above, later_s) in enumerate(asked):
            if later_s > arrived_s + max(0, above - priority) * PROMOTE_S:
                assert place[str(one)] < place[str(other)]
            if (above, later_s) == (priority, arrived_s) and one < other:
                assert place[str(one)] < place[str(other)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_tokens_are_those_of_who_is_here(actions):
    queue, here = Waiting(PROMOTE_S), []
    for name, joins in actions:
        if joins:
            sequence = waits(name)
            sequence.cached = len(here) % 10
            queue.push(sequence)
            here.append(sequence)
        else:
            gone = queue.remove(name)
            assert gone == [one for one in here if one.request.request_id == name]
            here = [one for one in here if one.request.request_id != name]
        assert queue.uncached_tokens == sum(one.uncached_tokens for one in here)
        assert (len(queue), set(queue)) == (len(here), set(here))


def test_what_cannot_begin_in_time_goes():
    queue = Waiting(PROMOTE_S)
    for name, deadline_s in (("patient", None), ("late", 3.0), ("soon", 6.0)):
        queue.push(waits(name, deadline_s=deadline_s))
    assert [one.request.request_id for one in queue.expire(2.0, 5.0)] == ["late"]
    assert queue.expire(2.0, 0.0) == []
    assert [one.request.request_id for one in queue.expire(7.0, 0.0)] == ["soon"]
    assert queue.uncached_tokens == 10
    assert not is_too_late(waits("x"), 1e9, 1.0)
