"""Hash slots and maps of a cluster."""

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline_gateway.admission.slots import SLOTS, Span, Topology, slot_of, tags_of, topology_of


@pytest.mark.parametrize(
    ("key", "slot"), [("123456789", 12739), ("foo", 12182), ("{user1000}.following", 3443), ("foo{}{bar}", 8363)]
)
def test_slots_are_those_of_the_specification(key, slot):
    assert slot_of(key) == slot


@given(st.text(alphabet="{}ab:*ü", max_size=12))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_slots_are_those_of_a_real_server(valkey: redis.Redis, key):
    assert 0 <= slot_of(key) < SLOTS
    begin, end = key.find("{"), -1
    if begin >= 0:
        end = key.find("}", begin + 1)
    if end > begin + 1:
        assert slot_of(key) == slot_of(key[begin + 1 : end])


def test_a_map_is_read():
    reply = [
        [0, 99, [b"a", 1, b"id"], [b"b", 2, b"id"]],
        [100, 16383, [b"", 3, b"id", []], [None, 4, b"id"]],
        [200, 200, ["a", 1]],
    ]
    found = topology_of(reply, "asked:9")
    assert found.primaries == ("a:1", "asked:3")
    assert found.others == ("b:2", "asked:4")
    owners = found.owners()
    assert [owners[slot] for slot in (0, 99, 100, 200, 16383)] == ["a:1", "a:1", "asked:3", "a:1", "asked:3"]
    assert Topology((Span(0, 0, "x"),)).owners()[1] == ""


@pytest.mark.parametrize("reply", [[[1]], [["a", 2, [b"h", 1]]], [[0, 20_000, [b"h", 1]]], [[5, 1, [b"h", 1]]], [7]])
def test_what_is_no_map_is_refused(reply):
    with pytest.raises(ValueError, match="list of slots"):
        topology_of(reply, "asked:9")


@given(st.lists(st.sampled_from("abc"), min_size=SLOTS // 64, max_size=SLOTS // 64))
@settings(max_examples=20)
def test_every_primary_has_a_tag_of_its_own_that_everybody_agrees_on(pattern):
    owners = [primary for primary in pattern for _ in range(64)]
    tags = tags_of(owners)
    assert set(tags) == set(owners)
    assert all(owners[slot_of(f"tl:gateways:{{{tag}}}")] == primary for primary, tag in tags.items())
    assert tags_of(list(owners)) == tags


def test_a_primary_with_one_slot_has_a_tag_too():
    owners = ["a"] * SLOTS
    owners[4711] = "b"
    owners[3] = ""
    tags = tags_of(owners)
    assert slot_of(tags["b"]) == 4711
    assert set(tags) == {"a", "b"}
