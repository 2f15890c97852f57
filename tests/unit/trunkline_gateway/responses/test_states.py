"""What is kept in this process: apart for each owner, for a time, within a bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.responses.states import ENTRY_BYTES, MemoryStates
from trunkline_kit.clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def states(clock):
    return MemoryStates(clock, 10_000)


async def test_each_owner_has_names_of_its_own(states):
    await states.put("a", {"x": b"1", "y": b"2"}, 10.0)
    await states.put("b", {"x": b"3"}, 10.0)
    assert await states.get("a", ["y", "x", "z"]) == [b"2", b"1", None]
    assert await states.get("b", ["x", "y"]) == [b"3", None]
    assert await states.delete("b", ["x", "y"]) == 1
    assert await states.get("a", ["x"]) == [b"1"]


async def test_what_is_used_is_kept_as_long_as_what_it_was_used_for(states, clock):
    await states.put("a", {"old": b"1", "other": b"2"}, 10.0)
    clock.advance(9.0)
    await states.put("a", {"new": b"3"}, 10.0, used=["old", "never there"])
    clock.advance(9.0)
    assert await states.get("a", ["old", "new", "other"]) == [b"1", b"3", None]
    clock.advance(1.0)
    assert await states.get("a", ["old", "new"]) == [None, None]
    assert states.size_bytes == 0


async def test_what_was_not_used_for_longest_goes_first(clock):
    states = MemoryStates(clock, 2 * (ENTRY_BYTES + 10))
    await states.put("a", {"x": bytes(10)}, 10.0)
    await states.put("a", {"y": bytes(10)}, 10.0)
    await states.get("a", ["x"])
    await states.put("a", {"z": bytes(10)}, 10.0)
    assert [found is not None for found in await states.get("a", ["x", "y", "z"])] == [True, False, True]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.binary(max_size=900)), max_size=30))
async def test_it_never_holds_more_than_it_may(puts):
    states = MemoryStates(ManualClock(), 2_000)
    for owner, name, data in puts:
        await states.put(owner, {name: data}, 10.0)
        assert 0 <= states.size_bytes <= 2_000
    for owner in "abc":
        await states.delete(owner, [*"xyz"])
    assert states.size_bytes == 0
