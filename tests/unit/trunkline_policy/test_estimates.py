"""Estimates: kinds of text, media, learning, quantiles."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy import estimates
from trunkline_policy.estimates import Script


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Write one sentence about gateways.", Script.ASCII),
        ("Grüße aus München, schreib bitte einen Satz über Brücken und Straßen in der Stadt.", Script.MIXED),
        ("Съешь ещё этих мягких французских булок, да выпей чаю." * 5, Script.TWO_BYTE),
        ("网关在每个模型之前请写一句话。" * 20, Script.THREE_BYTE),
    ],
)
def test_scripts_are_told_apart(text, script):
    body = json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=False).encode()
    assert estimates.script_of(body) is script


def test_escapes_are_a_script_of_their_own():
    assert estimates.script_of(json.dumps({"content": "мягких французских" * 5}).encode()) is Script.ESCAPED


def test_a_sample_of_a_long_body_is_enough():
    escaped = json.dumps({"content": "мягких французских" * 5_000}).encode()
    assert estimates.script_of(b" " * 10_000 + escaped) is Script.ESCAPED
    few = b"\\u0439" * 500
    assert estimates.script_of(few + b"plain words " * 10_000) is Script.ASCII


def test_an_image_counts_as_about_a_thousand_tokens():
    image = b"A" * 1_000_000
    body = b'{"image_url":{"url":"data:image/png;base64,' + image + b'"}}'
    assert 900 < estimates.input_tokens(estimates.text_bytes(body), 4.2) < 1_200
    assert estimates.text_bytes(b"plain") == 5


@given(st.binary(max_size=2_000))
def test_any_body_has_an_estimate(body):
    script = estimates.script_of(body)
    assert estimates.input_tokens(estimates.text_bytes(body), estimates.PRIORS[script]) >= 1


@given(st.floats(1, 8), st.integers(100, 10_000), st.floats(1, 8))
def test_the_ratio_comes_to_what_is_observed(before, size_bytes, true_ratio):
    tokens = max(1, round(size_bytes / true_ratio))
    ratio = before
    for _ in range(100):
        ratio = estimates.learned(ratio, size_bytes, tokens)
    assert ratio == pytest.approx(size_bytes / tokens, rel=0.01)


@given(st.floats(0.5, 16), st.integers(0, 10**7), st.integers(0, 10**7))
def test_no_observation_leads_out_of_bounds(before, size_bytes, tokens):
    assert estimates.RATIO_MIN <= estimates.learned(before, size_bytes, tokens) <= estimates.RATIO_MAX


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=100), st.floats(0.01, 1.0))
def test_a_quantile_is_the_smallest_sample_with_enough_below(samples, q):
    found = estimates.quantile(samples, q)
    assert sum(sample <= found for sample in samples) >= q * len(samples) - 1e-9
    assert sum(sample < found for sample in samples) < q * len(samples) + 1e-9
