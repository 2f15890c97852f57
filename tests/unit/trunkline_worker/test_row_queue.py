"""Which texts run together, as laws."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline_worker.row_queue import RowQueue, RunConfig, bucket

calls = st.lists(st.lists(st.integers(1, 300), min_size=1, max_size=20), max_size=8)


@given(calls, st.integers(1, 20), st.integers(1, 2000))
def test_every_text_once_and_no_run_over_the_bounds(calls, texts, tokens):
    queue, seen = RowQueue(RunConfig(batch_texts=texts, batch_tokens=tokens)), []
    for number, lengths in enumerate(calls):
        queue.push(number, lengths)
    assert len(queue) == sum(map(len, calls))
    while places := queue.take():
        seen += [(place.call, place.index) for place in places]
        widths = [place.tokens for place in places]
        assert [calls[place.call][place.index] for place in places] == widths
        assert len(places) <= texts
        assert len(places) == 1 or len(places) * max(widths) <= tokens
        assert len({bucket(width) for width in widths}) == 1
        assert len(queue) == sum(map(len, calls)) - len(seen)
    assert sorted(seen) == [(number, index) for number, lengths in enumerate(calls) for index in range(len(lengths))]
    assert queue.calls == 0


@given(st.integers(4, 5000), st.integers(4, 5000))
def test_a_bucket_is_at_most_a_third_of_padding(one, other):
    if bucket(one) == bucket(other):
        assert max(one, other) <= 1.5 * min(one, other)
    if one < other:
        assert bucket(one) <= bucket(other)


def test_one_text_comes_before_the_rest_of_a_list():
    queue = RowQueue(RunConfig(batch_texts=4))
    queue.push(0, [10] * 100)
    queue.take()
    queue.push(1, [40])
    queue.push(2, [10])
    assert {place.call for place in queue.take()} == {1}
    second = queue.take()
    assert [place.call for place in second] == [2, 0, 0, 0]


def test_small_calls_do_not_stop_a_list():
    queue, served = RowQueue(RunConfig(batch_texts=1)), []
    queue.push(0, [10] * 5)
    for number in range(1, 40):
        queue.push(number, [10])
        served += queue.take()
    assert [place.index for place in served if place.call == 0] == [0, 1, 2, 3, 4]
    assert len(served) == 39


@given(calls, st.sets(st.integers(0, 7)))
def test_dropped_calls_never_run(calls, dropped):
    queue, seen = RowQueue(RunConfig(batch_texts=3)), set()
    for number, lengths in enumerate(calls):
        queue.push(number, lengths)
    queue.take()
    for number in dropped:
        queue.drop(number)
    while places := queue.take():
        seen |= {place.call for place in places}
    assert not seen & dropped
    assert len(queue) == 0
