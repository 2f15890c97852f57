import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_worker.load import HitRatio, Speed, TokenRate


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


def test_speed_follows_the_latest_runs():
    speed = Speed().after(100, 1.0)
    assert speed.per_s == 100
    assert speed.after(50, 0.0) == speed
    for _ in range(50):
        speed = speed.after(200, 1.0)
    assert speed.per_s == pytest.approx(200, rel=0.01)


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 1)), max_size=100))
def test_a_hit_ratio_is_a_share(looked_up):
    hits = HitRatio()
    for tokens, share in looked_up:
        hits = hits.after(tokens, int(tokens * share))
        assert 0 <= hits.ratio <= 1
    assert hits.queried_tokens == sum(tokens for tokens, _ in looked_up)
    for _ in range(500):
        hits = hits.after(10, 10)
    assert hits.ratio > 0.95
