"""Laws of choosing by weight."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.weighted import order, pick

weights = st.lists(st.floats(0.01, 1000), min_size=1, max_size=8)
rolls = st.floats(0, 1, exclude_max=True)


@given(weights, rolls)
def test_a_pick_is_one_of_them(given_weights, roll):
    assert 0 <= pick(given_weights, roll) < len(given_weights)


@given(weights, st.lists(rolls, min_size=8, max_size=8))
def test_an_order_has_each_once(given_weights, given_rolls):
    assert sorted(order(given_weights, given_rolls)) == list(range(len(given_weights)))


def test_shares_follow_weights():
    dice = Random(1)
    seen = Counter(pick([3.0, 1.0], dice.random()) for _ in range(4000))
    assert 0.72 < seen[0] / 4000 < 0.78


def test_the_roll_decides():
    assert [pick([1.0, 1.0], roll) for roll in (0.0, 0.49, 0.5, 0.999)] == [0, 0, 1, 1]
