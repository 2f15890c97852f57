"""Where a request goes next: laws over every history of failures."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.plan import Failure, FailureKind, Target, next_step, order

targets = st.lists(
    st.builds(Target, model=st.just("m"), provider=st.sampled_from("abcd"), provider_model=st.sampled_from("xy")),
    min_size=1,
    max_size=5,
    unique=True,
)
kinds = st.sampled_from(FailureKind)


def walk(given_targets, given_kinds, max_attempts):
    """Every step until the plan gives up, each failing with the next kind."""
    failures, steps = [], []
    while step := next_step(given_targets, failures, max_attempts, 0.5):
        steps.append(step)
        failures.append(Failure(step.target, given_kinds[len(failures) % len(given_kinds)]))
    return steps, failures


@given(targets, st.lists(kinds, min_size=1), st.integers(1, 16))
def test_the_budget_holds_and_every_target_comes_first_once(given_targets, given_kinds, max_attempts):
    steps, _ = walk(given_targets, given_kinds, max_attempts)
    assert len(steps) <= max_attempts
    first_round = [step.target for step in steps[: len(given_targets)]]
    assert first_round == given_targets[: len(first_round)]
    assert all(step.wait_s == 0 for step in steps[: len(given_targets)])


@given(targets, st.lists(kinds, min_size=1), st.integers(1, 16))
def test_only_what_was_broken_is_tried_again_and_after_a_pause(given_targets, given_kinds, max_attempts):
    steps, failures = walk(given_targets, given_kinds, max_attempts)
    for place, step in enumerate(steps):
        before = [failure for failure in failures[:place] if failure.target == step.target]
        assert all(failure.kind is FailureKind.BROKEN for failure in before)
        assert (step.wait_s > 0) == bool(before)


def test_one_target_is_tried_again_with_growing_pauses():
    steps, _ = walk([Target("m", "a", "x")], [FailureKind.BROKEN], 4)
    assert [round(step.wait_s, 3) for step in steps] == [0, 0.075, 0.15, 0.3]


@given(st.lists(targets, min_size=1, max_size=3), st.integers())
def test_groups_keep_their_order_and_nobody_comes_twice(groups, seed):
    dice = Random(seed)
    ordered = order(groups, iter(dice.random, None))
    assert sorted(map(repr, ordered)) == sorted({repr(target) for group in groups for target in group})
    assert ordered[0] in groups[0]
    places = [next(index for index, group in enumerate(groups) if target in group) for target in ordered]
    assert places == sorted(places)
