import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.errors import InvalidRequest
from trunkline_worker.generation import GenerationRequest, SamplingOptions


def request(**fields) -> GenerationRequest:
    return GenerationRequest(**{"request_id": "a", "prompt_ids": (1,)} | fields)


@pytest.mark.parametrize(
    ("sampling", "repeatable"),
    [
        (SamplingOptions(), False),
        (SamplingOptions(temperature=0), True),
        (SamplingOptions(temperature=0.2, top_p=0.9), False),
        (SamplingOptions(seed=0), True),
        (SamplingOptions(top_k=1), True),
        (SamplingOptions(top_p=0), True),
        (SamplingOptions(min_p=1), True),
    ],
)
def test_what_draws_nothing_or_has_a_seed_is_repeatable(sampling, repeatable):
    assert sampling.repeatable is repeatable


@given(
    st.builds(
        SamplingOptions,
        temperature=st.floats(0, 2),
        top_p=st.floats(0, 1),
        top_k=st.integers(0, 10**6),
        min_p=st.floats(0, 1),
        seed=st.none() | st.integers(-(2**63), 2**63 - 1),
        frequency_penalty=st.floats(-2, 2),
        presence_penalty=st.floats(-2, 2),
        logit_bias=st.dictionaries(st.integers(0, 99), st.floats(-100, 100), max_size=3),
    )
)
def test_everything_in_range_is_fine(sampling):
    request(sampling=sampling, max_tokens=5, stop=("a",) * 4, top_logprobs=20).check(100)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt_ids": ()}, "prompt"),
        ({"prompt_ids": (100,)}, "prompt"),
        ({"prompt_ids": (-1,)}, "prompt"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"stop": ("",)}, "stop"),
        ({"stop": ("a",) * 5}, "stop"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": -1}, "top_logprobs"),
        ({"sampling": SamplingOptions(logit_bias={100: 1.0})}, "logit_bias"),
        ({"sampling": SamplingOptions(logit_bias={1: 101.0})}, "logit_bias"),
        ({"sampling": SamplingOptions(repetition_penalty=0.0)}, "repetition_penalty"),
        ({"sampling": SamplingOptions(frequency_penalty=-2.1)}, "frequency_penalty"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(fields, param):
    with pytest.raises(InvalidRequest) as refused:
        request(**fields).check(100)
    assert refused.value.param == param
    assert refused.value.http_status == 400
