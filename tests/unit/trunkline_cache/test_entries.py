from hypothesis import given
from hypothesis import strategies as st

from trunkline_cache.entries import ENTRY_OVERHEAD_BYTES, Answer, size_of
from trunkline_cache.keys import Key, Scope

KEY = Key(Scope("team:ä"), 1, bytes(32))


def test_an_entry_is_counted_with_its_bytes_and_its_overhead():
    answer = Answer(body_json=b"{}", usage_json=b"[]", model="gpt", provider="p")
    assert size_of(KEY, answer, frozenset({"tag"})) == ENTRY_OVERHEAD_BYTES + len("team:ä".encode()) + 2 + 2 + 3 + 1 + 3


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=50))
def test_more_bytes_count_more(body, more):
    small, large = Answer(body_json=body), Answer(body_json=body + more)
    assert size_of(KEY, large, frozenset()) == size_of(KEY, small, frozenset()) + len(more)
