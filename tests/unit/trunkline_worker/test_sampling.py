"""Laws of the choice of a token, over rows that hypothesis can think of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trunkline_kit.errors import InvalidRequest
from trunkline_worker.candidates import Scratch, candidates, pick
from trunkline_worker.generation import Few, SamplingOptions
from trunkline_worker.sampling import Sampler

rows = arrays(np.float32, st.integers(2, 60), elements=st.floats(-30, 30, width=32), unique=True)
temperatures = st.floats(0.1, 2)
everything = st.builds(
    SamplingOptions,
    temperature=st.just(0.0) | temperatures,
    top_p=st.floats(0.1, 1),
    top_k=st.integers(0, 5),
    min_p=st.floats(0, 0.5),
    seed=st.integers(-(2**40), 2**40),
    frequency_penalty=st.floats(-2, 2),
    presence_penalty=st.floats(-2, 2),
    repetition_penalty=st.floats(0.5, 2),
    logit_bias=st.dictionaries(st.integers(0, 1), st.floats(-100, 100), max_size=2),
)


class Slow:
    """The same choice in plain Python, one token after the other."""

    def __init__(self, options: SamplingOptions, prompt: list[int]) -> None:
        self.options, self.seen = options, set(prompt)
        self.counts: dict[int, int] = {}
        assert options.seed is not None
        self.random = np.random.default_rng(abs(options.seed) * 2 + (options.seed < 0))
        self.places: list[float] = []

    def place(self) -> float:
        self.places = self.places or self.random.random(64).tolist()
        return self.places.pop()

    def choose(self, row) -> int:
        options, made = self.options, row.copy()
        for token in range(len(made)):
            if token in options.logit_bias:
                made[token] += np.float32(options.logit_bias[token])
            if token in self.seen:
                penalty = np.float32(options.repetition_penalty)
                made[token] = made[token] / penalty if made[token] > 0 else made[token] * penalty
            if count := self.counts.get(token, 0):
                often = np.float32(count) * np.float32(options.frequency_penalty)
                made[token] -= often + np.float32(options.presence_penalty)
        chosen = int(made.argmax())
        if options.temperature:
            chosen = pick(candidates(made, options, Scratch(made.size)), self.place())
        self.counts[chosen] = self.counts.get(chosen, 0) + 1
        self.seen.add(chosen)
        return chosen


@given(st.lists(st.tuples(everything, st.lists(st.integers(0, 1), max_size=3)), min_size=1, max_size=5), st.data())
def test_a_batch_is_each_request_for_itself(asked, data):
    size = data.draw(st.integers(2, 40))
    steps = data.draw(arrays(np.float32, (6, len(asked), size), elements=st.floats(-30, 30, width=32)))
    scratch = Scratch(size)
    fast = [Sampler(options, prompt, scratch=scratch) for options, prompt in asked]
    slow = [Slow(options, prompt) for options, prompt in asked]
    for logits in steps:
        before = logits.copy()
        for one, other, row in zip(fast, slow, logits, strict=True):
            assert one.choose(row) == other.choose(row)
        assert (logits == before).all()


@given(rows, temperatures, st.integers(0, 2**31))
def test_top_k_one_and_tiny_top_p_are_greedy(row, temperature, seed):
    greedy = Sampler(SamplingOptions(temperature=0)).choose(row)
    assert Sampler(SamplingOptions(temperature=temperature, top_k=1, seed=seed)).choose(row) == greedy
    assert Sampler(SamplingOptions(temperature=temperature, top_p=1e-9, seed=seed)).choose(row) == greedy
    assert Sampler(SamplingOptions(temperature=temperature, top_p=0, seed=seed)).choose(row) == greedy
    assert greedy == int(row.argmax())


@given(rows, temperatures, st.floats(0.05, 1), st.integers(0, 2**31))
def test_only_tokens_of_the_nucleus_are_drawn(row, temperature, top_p, seed):
    options = SamplingOptions(temperature=temperature, top_p=top_p, seed=seed)
    sampler = Sampler(options)
    assert {sampler.choose(row) for _ in range(20)} <= set(candidates(row, options, Scratch(row.size)).ids.tolist())


@given(rows, st.integers(-(2**40), 2**40))
def test_a_seed_repeats_and_neighbours_do_not_matter(row, seed):
    options = SamplingOptions(seed=seed, top_p=0.9)
    alone = Sampler(options)
    first = [alone.choose(row) for _ in range(5)]
    scratch = Scratch(row.size)
    mine, other = Sampler(options, scratch=scratch), Sampler(SamplingOptions(), scratch=scratch)
    drawn = []
    for _ in range(5):
        other.choose(row[::-1])
        drawn.append(mine.choose(row))
    assert drawn == first


def test_each_choice_of_a_request_draws_for_itself():
    row = np.zeros(50, np.float32)
    drawn = []
    for choice in (0, 1, 2, 1):
        sampler = Sampler(SamplingOptions(seed=7), choice=choice)
        drawn.append([sampler.choose(row) for _ in range(8)])
    assert drawn[1] == drawn[3]
    assert len({tuple(one) for one in drawn}) == 3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_follow_the_probabilities(temperature):
    expected = np.array([0.5, 0.3, 0.15, 0.05])
    sampler = Sampler(SamplingOptions(seed=1, temperature=temperature))
    row = (np.log(expected) * temperature).astype(np.float32)
    drawn = np.bincount([sampler.choose(row) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(drawn, expected, atol=0.03)


def test_penalties_and_bias():
    row = np.array([2.0, 1.9, 0.0, -1.0], np.float32)
    sampler = Sampler(SamplingOptions(temperature=0, presence_penalty=0.5))
    assert [sampler.choose(row) for _ in range(3)] == [0, 1, 0]
    sampler = Sampler(SamplingOptions(temperature=0, repetition_penalty=2.0), prompt_ids=[0, 1])
    assert sampler.choose(row) == 0
    assert Sampler(SamplingOptions(temperature=0, logit_bias={3: 100.0})).choose(row) == 3
    assert Sampler(SamplingOptions(temperature=0, logit_bias={0: -100.0})).choose(row) == 1
    assert row.tolist() == pytest.approx([2.0, 1.9, 0.0, -1.0])


def test_penalties_grow_over_many_tokens():
    sampler = Sampler(SamplingOptions(temperature=0, frequency_penalty=1.0))
    assert sorted(sampler.choose(np.zeros(300, np.float32)) for _ in range(300)) == list(range(300))


class Even:
    """A guide that allows even tokens, each once."""

    def __init__(self, tells: str) -> None:
        self.gone: list[int] = []
        self.tells = tells

    def few(self):
        allowed = np.array([token for token in range(0, 10, 2) if token not in self.gone], np.intp)
        match self.tells:
            case "allowed":
                return Few(allowed, allowed=True)
            case "forbidden":
                return Few(np.setdiff1d(np.arange(10), allowed), allowed=False)
            case _:
                return None

    def mask(self, spare):
        spare[::2], spare[1::2] = 0, -np.inf
        spare[self.gone] = -np.inf
        return spare[:10]

    def accept(self, token_id: int) -> None:
        self.gone.append(token_id)


@pytest.mark.parametrize("tells", ["allowed", "forbidden", "nothing"])
@pytest.mark.parametrize("temperature", [0.0, 0.2, 2.0])
@pytest.mark.parametrize("other", [{}, {"logit_bias": {1: 100.0}}, {"presence_penalty": -2.0}], ids=str)
def test_a_guide_is_obeyed_however_it_tells_and_whatever_the_bias(tells, temperature, other):
    options = SamplingOptions(temperature=temperature, seed=3, **other)
    sampler = Sampler(options, guide=Even(tells))
    row = np.zeros(10, np.float32)
    assert sorted(sampler.choose(row) for _ in range(5)) == [0, 2, 4, 6, 8]
    assert not row.any()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 2.1),
        ("temperature", float("nan")),
        ("top_p", -0.1),
        ("top_k", -1),
        ("min_p", 2),
        ("presence_penalty", 3),
    ],
)
def test_options_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(InvalidRequest, match=name) as refused:
        SamplingOptions(**{name: value}).check(100)
    assert refused.value.param == name
