"""The strategies keep their word."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline_testkit.strategies import byte_splits, sse_bytes, sse_payloads


@given(st.data(), st.binary(max_size=200))
def test_splits_lose_nothing(data, original):
    pieces = data.draw(byte_splits(original, max_pieces=5))
    assert b"".join(pieces) == original
    assert all(pieces)
    assert len(pieces) <= 5


@given(sse_payloads(), st.sampled_from(["\n", "\r\n", "\r"]))
def test_payloads_become_events(payloads, newline):
    data = sse_bytes(payloads, newline).decode()
    assert data.count(f"{newline}{newline}") >= len(payloads)
    assert all(f"data: {payload}{newline}" in data for payload in payloads)
