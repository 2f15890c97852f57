"""Bodies take what they are, give it back, and are refused where there is no room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.body_room import BodyRoom
from trunkline_kit.errors import Overloaded


def test_what_does_not_fit_is_refused_until_there_is_room():
    room = BodyRoom(100)
    one, other = room.held(), room.held()
    one.grow(60)
    with pytest.raises(Overloaded) as refused:
        other.grow(50)
    assert refused.value.retry_after_s == 1
    other.grow(40)
    assert room.held_bytes == 100
    one.release()
    other.grow(90)
    assert room.held_bytes == 90


def test_one_alone_always_fits():
    room = BodyRoom(10)
    alone = room.held()
    alone.grow(1000)
    alone.grow(2000)
    with pytest.raises(Overloaded):
        room.held().grow(1)
    alone.release()
    alone.release()
    assert room.held_bytes == 0


def test_what_is_expected_takes_nothing():
    room = BodyRoom(100)
    one, other = room.held(), room.held()
    one.expect(60)
    other.grow(60)
    with pytest.raises(Overloaded):
        one.expect(60)
    assert room.held_bytes == 60


def test_one_caller_gets_half_of_it_unless_it_is_a_single_request():
    room = BodyRoom(100)
    first, second, other = room.held("me"), room.held("me"), room.held("you")
    first.grow(40)
    with pytest.raises(Overloaded, match="one caller"):
        second.grow(20)
    other.grow(60)
    first.release()
    other.release()
    assert not room.held_bytes_by
    second.grow(90)
    assert room.held_bytes == 90


def test_it_is_free_when_the_last_who_needs_it_has_released_it():
    room = BodyRoom(100)
    held = room.held("me")
    held.grow(60)
    kept = held.keep()
    held.release()
    assert room.held_bytes == 60
    kept.release()
    assert room.held_bytes == 0
    assert not room.held_bytes_by


@given(steps=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60), st.booleans()), max_size=40))
def test_the_sum_is_always_what_is_held(steps):
    room = BodyRoom(100)
    held = [room.held() for _ in range(5)]
    for number, size_bytes, releases in steps:
        if releases:
            held[number].release()
        else:
            try:
                held[number].grow(size_bytes)
            except Overloaded:
                assert room.held_bytes + size_bytes - held[number].size_bytes > 100
        assert room.held_bytes == sum(one.size_bytes for one in held) <= 100
