"""Estimates learn, per model and key, and forget."""

import pytest

from trunkline_gateway.admission.estimation import SAMPLES_MIN, Estimator
from trunkline_policy import estimates
from trunkline_policy.costs import TOKENS_MAX

BODY = b'{"model":"m","messages":[{"role":"user","content":"' + b"word " * 200 + b'"}]}'


def test_a_first_guess_says_that_it_is_one():
    guess = Estimator().estimate("m", "k", BODY, None, 1)
    assert guess.guessed
    assert guess.output_tokens == estimates.OUTPUT_DEFAULT
    assert guess.tokens == guess.input_tokens + guess.output_tokens


def test_what_the_caller_allows_is_the_estimate_for_every_choice():
    found = Estimator().estimate("m", "k", BODY, 50, 3)
    assert (found.output_tokens, found.guessed) == (150, False)
    assert Estimator().estimate("m", "k", BODY, None, 0).output_tokens == 0


def test_no_estimate_is_larger_than_what_is_believed_of_a_provider():
    assert Estimator().estimate("m", "k", BODY, 2**31 - 1, 128).output_tokens == TOKENS_MAX


def test_answers_teach_the_key_first_then_the_model():
    estimator = Estimator()
    seen = estimator.estimate("m", "k", BODY, None, 1)
    for number in range(SAMPLES_MIN):
        estimator.learn(seen, 250, 10 + number)
    assert estimator.estimate("m", "k", BODY, None, 1).output_tokens == 10 + SAMPLES_MIN - 1
    other = estimator.estimate("m", "another key", BODY, None, 1)
    assert (other.output_tokens, other.guessed) == (10 + SAMPLES_MIN - 1, False)
    assert estimator.estimate("another model", "k", BODY, None, 1).guessed


def test_input_comes_to_what_the_provider_reports():
    estimator = Estimator()
    for _ in range(60):
        estimator.learn(estimator.estimate("m", "k", BODY, None, 1), 190, 1)
    assert estimator.estimate("m", "k", BODY, None, 1).input_tokens == pytest.approx(190, abs=2)
    assert estimator.estimate("another", "k", BODY, None, 1).input_tokens != pytest.approx(190, abs=2)


def test_old_answers_are_forgotten():
    estimator = Estimator()
    seen = estimator.estimate("m", "k", BODY, None, 1)
    for tokens in [5_000] * 64 + [10] * 64:
        estimator.learn(seen, 250, tokens)
    assert estimator.estimate("m", "k", BODY, None, 1).output_tokens == 10


def test_memory_is_bounded():
    estimator = Estimator(pairs_max=20)
    for number in range(200):
        estimator.learn(estimator.estimate(f"m{number}", "k", BODY, None, 1), 10, 10)
    assert len(estimator._ratios) == len(estimator._outputs) == 20
