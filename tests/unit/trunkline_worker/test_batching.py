"""The batcher over the fake model, whose answers follow from what its slots hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ContextTooLong, InvalidRequest
from trunkline_worker.batching import BatchConfig, Batcher, next_chunk, step_tokens
from trunkline_worker.generation import Delta, FinishReason, GenerationRequest, SamplingOptions
from trunkline_worker.runtimes.fake import EOS_ID, ByteCodec, FakeDecoder
from trunkline_worker.tokenizer import ChatMessage

CODEC = ByteCodec()
GREEDY = SamplingOptions(temperature=0)


def ask(name: str, text: str, **options) -> GenerationRequest:
    ids = tuple(CODEC.encode_chat([ChatMessage(role="user", content=text)]))
    return GenerationRequest(request_id=name, prompt_ids=ids, **{"sampling": GREEDY} | options)


def batcher(slots: int = 4, slot_tokens: int = 200, least_rows: int = 1, **config) -> Batcher:
    runtime = FakeDecoder(slots, slot_tokens, least_rows=least_rows)
    return Batcher(runtime, CODEC, frozenset({EOS_ID}), BatchConfig(**config), ManualClock())


def drain(batch: Batcher) -> dict[str, list[Delta]]:
    answers: dict[str, list[Delta]] = {}
    while batch.has_work:
        for delta in batch.step():
            answers.setdefault(delta.request_id, []).append(delta)
    return answers


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def run(requests: list[GenerationRequest], **config) -> dict[str, tuple[str, Delta]]:
    batch = batcher(**config)
    for request in requests:
        batch.add(request)
    return {name: (text_of(deltas), deltas[-1]) for name, deltas in drain(batch).items()}


texts = st.text(min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=1, max_size=12), st.sampled_from([1, 2, 4, 8]), st.integers(3, 40), st.integers(1, 2))
def test_everybody_gets_their_own_answer(prompts, slots, chunk, least_rows):
    requests = [ask(str(index), prompt) for index, prompt in enumerate(prompts)]
    answers = run(requests, slots=slots, slot_tokens=300, chunk_tokens=chunk, least_rows=least_rows)
    for index, prompt in enumerate(prompts):
        text, last = answers[str(index)]
        assert text == prompt
        assert last.finish is FinishReason.STOP
        assert last.usage.prompt_tokens == len(prompt.encode()) + 1
        assert last.usage.completion_tokens == len(prompt.encode()) + 1


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_answers_do_not_depend_on_the_company(temperature):
    requests = [
        ask(
            str(n),
            f"prompt number {n} " * (n % 4 + 1),
            sampling=SamplingOptions(temperature=temperature, seed=n),
            max_tokens=7 * n + 1,
        )
        for n in range(12)
    ]
    alone = {request.request_id: run([request])[request.request_id][0] for request in requests}
    for slots in (1, 4, 8):
        together = run(requests, slots=slots, chunk_tokens=16)
        assert {name: text for name, (text, _) in together.items()} == alone


@given(st.integers(1, 5000), st.integers(3, 300))
def test_chunks_cover_the_prompt_and_none_is_a_lone_token(length, most):
    sizes, left = [], length
    while left:
        sizes.append(next_chunk(left, most))
        left -= sizes[-1]
    assert sum(sizes) == length
    assert max(sizes) <= most
    assert 1 not in sizes or length == 1


@given(st.floats(0, 1), st.floats(0, 1e5), st.floats(0, 10), st.integers(3, 512))
def test_decoding_waits_for_little(decode_s, per_s, wait_steps, chunk):
    tokens = step_tokens(BatchConfig(chunk_tokens=chunk, wait_steps=wait_steps), decode_s, per_s)
    assert min(8, chunk) <= tokens <= chunk
    if decode_s and per_s and tokens > 8:
        assert tokens / per_s <= wait_steps * decode_s * 1.001
    if not (decode_s and per_s):
        assert tokens == chunk


@pytest.mark.parametrize(
    ("sampling", "repeatable"),
    [(GREEDY, True), (SamplingOptions(seed=1), True), (SamplingOptions(), False)],
)
def test_only_what_can_be_asked_for_again_is_computed_as_in_company(sampling, repeatable):
    told = []

    class Telling(FakeDecoder):
        def decode(self, ids, lengths, *, repeatable=True):
            told.append((len(ids), repeatable))
            return super().decode(ids, lengths, repeatable=repeatable)

    batch = Batcher(Telling(2, 200, least_rows=2), CODEC, frozenset({EOS_ID}), BatchConfig(), ManualClock())
    batch.add(ask("a", "some words", sampling=sampling))
    batch.step()
    batch.add(ask("b", "more", sampling=GREEDY))
    drain(batch)
    assert told[0] == (1, repeatable)
    assert {said for rows, said in told if rows == 2} == {True}


def test_chunks_shrink_while_others_decode():
    clock, sizes = ManualClock(), []

    class Slow(FakeDecoder):
        def prefill(self, slot, ids, past):
            sizes.append(len(ids))
            clock.advance(len(ids) * 0.001)
            return super().prefill(slot, ids, past)

        def decode(self, ids, lengths, *, repeatable=True):
            clock.advance(0.02)
            return super().decode(ids, lengths, repeatable=repeatable)

    batch = Batcher(Slow(4, 400), CODEC, frozenset({EOS_ID}), BatchConfig(chunk_tokens=100, wait_steps=1.5), clock)
    batch.add(ask("short", "x" * 20))
    batch.step()
    batch.add(ask("long", "y" * 299))
    made = batch.step()
    while all(delta.request_id == "short" for delta in made):
        made = batch.step()
    assert sizes[0] == 21
    assert sum(sizes[1:]) == 300
    assert max(sizes[1:]) <= 30
    assert sizes[1] == 15, "nobody knows yet how slowly small chunks are read"
    assert set(sizes[2:-1]) <= {29, 30}


def test_what_is_left_of_the_prompt_that_is_read_is_told():
    batch = batcher(chunk_tokens=32)
    batch.add(ask("long", "x" * 95))
    told = [(batch.load().waiting_tokens, batch.load().reading_tokens)]
    for _ in range(3):
        batch.step()
        told.append((batch.load().waiting_tokens, batch.load().reading_tokens))
    assert told == [(96, 0), (0, 64), (0, 32), (0, 0)]
    assert batch.load().prefix_tokens == 16 * 64


def test_a_long_prompt_does_not_stall_the_others():
    batch = batcher(chunk_tokens=10)
    batch.add(ask("short", "abcdefghi"))
    batch.step()
    batch.add(ask("long", "x" * 95))
    seen = [[delta.request_id for delta in batch.step()] for _ in range(8)]
    assert seen == [["short"]] * 8


def test_a_cancelled_request_frees_its_slot_at_once():
    batch = batcher(slots=2)
    for name in ("a", "b", "c"):
        batch.add(ask(name, name * 20))
    batch.step()
    assert (batch.load().running, batch.load().waiting) == (2, 1)
    (ended,) = batch.cancel("a")
    assert ended.finish is FinishReason.ABORTED
    assert ended.usage.completion_tokens == 2
    assert batch.load().running == 1
    answers = drain(batch)
    assert text_of(answers["c"]) == "c" * 20
    assert text_of(answers["b"]) == "b" * 18
    assert batch.cancel("a") == []


def test_waiting_and_filling_requests_can_be_cancelled():
    batch = batcher(slots=2, chunk_tokens=10)
    batch.add(ask("filling", "x" * 50))
    batch.add(ask("waiting", "y"))
    batch.step()
    assert len(batch.cancel("filling")) == 1
    assert len(batch.cancel("waiting")) == 1
    assert not batch.has_work
    batch.add(ask("next", "ok"))
    assert text_of(drain(batch)["next"]) == "ok"


@pytest.mark.parametrize("slots", [1, 2, 8])
@pytest.mark.parametrize("salt", [b"", b"tenant"])
def test_several_answers_share_one_prefill(slots, salt):
    sampling = SamplingOptions(temperature=1.5, seed=5)
    text = "a prompt of more than one block of tokens"
    several = ask("a", text, choices=4, sampling=sampling, max_tokens=12, cache_salt=salt)
    batch = batcher(slots=slots)
    batch.add(several)
    batch.add(ask("b", "other"))
    deltas = drain(batch)
    texts = ["".join(one.text for one in deltas["a"] if one.index == index) for index in range(4)]
    assert len(set(texts)) > 1
    assert texts[0] == run([ask("x", text, sampling=sampling, max_tokens=12)])["x"][0]
    assert texts == ["".join(d.text for d in drain_alone(several) if d.index == index) for index in range(4)]
    assert text_of(deltas["b"]) == "other"
    last = deltas["a"][-1].usage
    assert (last.prompt_tokens, last.completion_tokens) == (42, sum(len(one.token_ids) for one in deltas["a"]))
    assert [one.finish is not None for one in deltas["a"]].count(True) == 4


def drain_alone(request: GenerationRequest) -> list[Delta]:
    batch = batcher(slots=8)
    batch.add(request)
    return drain(batch)["a"]


def test_cancelling_ends_every_answer_begun_or_not():
    for steps in (0, 1):
        batch = batcher(slots=2)
        batch.add(ask("a", "x" * 20, choices=3))
        for _ in range(steps):
            batch.step()
        assert sorted((one.index, one.finish) for one in batch.cancel("a")) == [(n, "aborted") for n in range(3)]
        assert not batch.has_work


def test_deadlines():
    clock = ManualClock()
    runtime = FakeDecoder(1, 200)
    batch = Batcher(runtime, CODEC, frozenset({EOS_ID}), BatchConfig(), clock)
    now_s = clock.monotonic_s()
    batch.add(ask("running", "x" * 50, deadline_s=now_s + 5))
    batch.add(ask("waiting", "y", deadline_s=now_s + 3))
    batch.add(ask("patient", "z"))
    batch.step()
    clock.advance(4)
    assert [(one.request_id, one.finish) for one in batch.step() if one.finish] == [("waiting", "expired")]
    clock.advance(2)
    made = [(one.request_id, one.finish) for one in batch.step()]
    assert made[0] == ("running", FinishReason.EXPIRED)
    assert {name for name, _ in made[1:]} == {"patient"}


def test_length_and_context():
    assert run([ask("a", "hello", max_tokens=3)])["a"][0] == "hel"
    assert run([ask("a", "hello", max_tokens=3)])["a"][1].finish is FinishReason.LENGTH
    text, last = run([ask("a", "x" * 60)], slot_tokens=100)["a"]
    assert (text, last.finish, last.usage.completion_tokens) == ("x" * 39, FinishReason.LENGTH, 39)
    with pytest.raises(ContextTooLong, match=r"100 tokens.*the prompt has 101"):
        batcher(slot_tokens=100).add(ask("a", "x" * 100))


def test_a_stop_string_ends_the_answer_before_itself():
    text, last = run([ask("a", "one two three", stop=("two", "zzz"))])["a"]
    assert (text, last.finish, last.matched_stop) == ("one ", FinishReason.STOP, "two")


def test_characters_are_never_split():
    batch = batcher()
    batch.add(ask("a", "é🙂"))
    assert [delta.text for delta in drain(batch)["a"]] == ["", "é", "", "", "", "🙂", ""]


def test_held_text_comes_out_at_the_end():
    assert run([ask("a", "hello", stop=("low",), max_tokens=5)])["a"][0] == "hello"
    assert run([ask("a", "é", max_tokens=1)])["a"][0] == "\ufffd"


def test_ignoring_the_end():
    _, last = run([ask("a", "hi", ignore_eos=True, max_tokens=20)])["a"]
    assert (last.usage.completion_tokens, last.finish) == (20, FinishReason.LENGTH)


def test_logprobs_go_with_their_tokens():
    batch = batcher()
    batch.add(ask("a", "hi", top_logprobs=2))
    deltas = drain(batch)["a"]
    assert [delta.logprobs[0].chosen.token_id for delta in deltas] == [ord("h"), ord("i"), EOS_ID]
    assert all(delta.logprobs[0].top[0] == delta.logprobs[0].chosen for delta in deltas)


def test_load_counts_tokens_and_slots():
    batch = batcher(slots=2, slot_tokens=100)
    for name in ("a", "b", "c"):
        batch.add(ask(name, "x" * 19))
    assert batch.load().waiting_tokens == 60
    batch.step()
    load = batch.load()
    # 20 tokens of prompt and the first of two sampled ones, in each of two slots.
    assert (load.running, load.waiting, load.waiting_tokens, load.kv_usage) == (2, 1, 20, 42 / 200)
    assert load.rate.per_s > 0


goings_on = st.sampled_from(
    [
        {"sampling": GREEDY},
        {"sampling": SamplingOptions(seed=5, temperature=1.5, frequency_penalty=0.5, repetition_penalty=1.2)},
        {"sampling": SamplingOptions(seed=-1, temperature=1, top_p=0.9, logit_bias={97: 3.0})},
        {"sampling": GREEDY, "stop": ("lo w", "zz")},
        {"sampling": GREEDY, "max_tokens": 9},
    ]
)


@settings(max_examples=80, deadline=None)
@given(st.text("hello worldé🐟", min_size=2, max_size=20), goings_on, st.data())
def test_an_answer_that_was_begun_elsewhere_goes_on_as_if_it_had_not_been(text, options, data):
    whole = drain_alone(ask("a", text, **options))
    cut = data.draw(st.integers(1, max(1, len(whole) - 1)))
    if cut >= len(whole):
        return
    request = ask("a", text, **options)
    begun = tuple(token_id for delta in whole[:cut] for token_id in delta.token_ids)
    rest = drain_alone(structs.replace(request, prompt_ids=request.prompt_ids + begun, begun=len(begun)))
    assert [delta.token_ids for delta in rest] == [delta.token_ids for delta in whole[cut:]]
    assert [delta.text for delta in rest] == [delta.text for delta in whole[cut:]]
    assert (rest[-1].finish, rest[-1].matched_stop) == (whole[-1].finish, whole[-1].matched_stop)
    assert rest[-1].usage.begun_tokens == cut
    assert structs.replace(rest[-1].usage, begun_tokens=0) == whole[-1].usage


@pytest.mark.parametrize(("choices", "max_tokens", "says"), [(2, 0, "not several"), (1, 2, "all of the 2 tokens")])
def test_what_cannot_go_on_is_refused(choices, max_tokens, says):
    request = ask("a", "hi", begun=2, choices=choices, max_tokens=max_tokens)
    with pytest.raises(InvalidRequest, match=says) as refused:
        request.check(CODEC.vocabulary_size)
    assert refused.value.param == "begun"
