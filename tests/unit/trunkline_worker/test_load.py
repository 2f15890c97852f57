import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_worker.load import TokenRate


def test_a_steady_stream_shows_its_rate():
    rate = TokenRate()
    for step in range(2000):
        rate = rate.after(5, step * 0.05)
    assert rate.at(99.95) == pytest.approx(100, rel=0.02)


@given(st.floats(0, 1000), st.floats(0, 100))
def test_idle_falls_and_is_never_negative(per_s, wait_s):
    rate = TokenRate(per_s, 10.0)
    assert 0 <= rate.at(10.0 + wait_s) <= per_s
    assert rate.at(5.0) == per_s
