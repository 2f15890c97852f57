import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_worker.utilisation import ModelCost, Peaks, Utilisation, Work, measured

COST = ModelCost(weight_bytes=1000, token_flops=10.0, pair_flops=2.0, kv_token_bytes=4)
lengths = st.lists(st.integers(1, 50), min_size=1, max_size=8)


@given(lengths)
def test_a_decode_step_reads_the_weights_once(held):
    work = COST.decode(held)
    assert work.moved_bytes == 1000 + 4 * sum(held)
    assert work.flops == 10 * len(held) + 2 * sum(held)


@given(st.integers(1, 100), st.integers(0, 100))
def test_a_chunk_computes_what_its_tokens_would_one_by_one(tokens, past):
    one_by_one = sum(COST.decode([past + place]).flops for place in range(1, tokens + 1))
    assert COST.prefill(tokens, past).flops == pytest.approx(one_by_one)
    assert COST.prefill(tokens, past).moved_bytes == 1000 + 4 * (past + tokens)


def test_use_adds_up_and_follows_the_latest():
    use = Utilisation()
    for _ in range(100):
        use = use.after(Work(flops=50, moved_bytes=20), 0.5)
    assert (use.flops, use.moved_bytes, use.busy_s) == (5000, 2000, 50)
    assert (use.flops_per_s, use.bytes_per_s) == (100, 40)
    assert use.after(Work(flops=1, moved_bytes=1), 0) == use
    for _ in range(100):
        use = use.after(Work(flops=100, moved_bytes=20), 0.5)
    assert use.flops_per_s == pytest.approx(200, rel=0.01)


@given(st.lists(st.tuples(st.floats(1, 1e12), st.floats(1e-3, 10)), min_size=1))
def test_shares_are_shares_whatever_the_peaks(runs):
    use = Utilisation()
    for amount, duration_s in runs:
        use = use.after(Work(flops=amount, moved_bytes=amount), duration_s)
    low, high = Peaks(), Peaks(flops_per_s=1e15, bytes_per_s=1e15)
    assert 0 < use.mfu(high) <= use.mfu(low) <= 1 + 1e-9
    assert 0 < use.mbu(high) <= use.mbu(low) <= 1 + 1e-9


def test_peaks_are_given_or_measured():
    given_ = Peaks(flops_per_s=1.0, bytes_per_s=2.0)
    assert measured(given_) == given_
    found = measured(Peaks(flops_per_s=5.0))
    assert found.flops_per_s == 5.0
    assert 1e8 < found.bytes_per_s < 1e13
    assert np.isfinite(found.bytes_per_s)
