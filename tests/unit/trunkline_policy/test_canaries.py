"""A canary gets its share, the same conversations each time, and the other arm is what is left when it fails."""

from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline_policy.canaries import arms, is_drawn, share_of

KEYS = [str(number).encode() for number in range(4000)]


@settings(max_examples=20)
@given(share=st.floats(0, 1))
def test_the_share_is_what_it_says(share):
    drawn = sum(is_drawn(key, "m", share) for key in KEYS) / len(KEYS)
    assert abs(drawn - share) < 0.03, "four standard deviations"


@given(key=st.binary(max_size=64), shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_who_was_drawn_stays_drawn_when_the_share_grows(key, shares):
    small, large = sorted(shares)
    assert is_drawn(key, "m", large) or not is_drawn(key, "m", small)


def test_models_draw_apart():
    both = [key for key in KEYS if is_drawn(key, "m", 0.5) and is_drawn(key, "n", 0.5)]
    assert 0.2 < len(both) / len(KEYS) < 0.3


def test_shares_go_by_weight():
    assert share_of([1, 3, 1], [True, False, False]) == 0.2
    assert share_of([1, 1], [True, True]) == 1
    assert share_of([], []) == 0


@given(order=st.permutations(range(5)), are=st.lists(st.booleans(), min_size=5, max_size=5), drawn=st.booleans())
def test_one_arm_comes_before_the_other_and_each_keeps_its_order(order, are, drawn):
    arranged = arms(order, are, drawn=drawn)
    first = [index for index in order if are[index] is drawn]
    assert list(arranged) == first + [index for index in order if index not in first]
