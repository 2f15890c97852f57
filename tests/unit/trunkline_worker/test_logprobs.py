import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trunkline_worker.logprobs import logprobs

rows = arrays(np.float32, st.integers(1, 60) | st.just(600), elements=st.floats(-30, 30, width=16))


@given(rows, st.integers(0, 20))
def test_logprobs_are_a_distribution(row, top):
    made = logprobs(row, int(row.argmin()), top)
    expected = row - row.max() - np.log(np.exp((row - row.max()).astype(np.float64)).sum())
    assert made.chosen.logprob == pytest.approx(expected[row.argmin()], abs=1e-3)
    assert [one.token_id for one in made.top] == np.argsort(-row, kind="stable")[:top].tolist()
    assert all(one.logprob <= 0 for one in made.top)
    if top >= row.size:
        assert sum(np.exp(one.logprob) for one in made.top) == pytest.approx(1, abs=1e-4)
