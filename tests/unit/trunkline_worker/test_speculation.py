"""Drafts change how fast an answer comes and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline_kit.clock import ManualClock
from trunkline_worker.batching import BatchConfig, Batcher
from trunkline_worker.generation import Delta, FinishReason, GenerationRequest, SamplingOptions
from trunkline_worker.grammars import regex_grammar
from trunkline_worker.guides import GuideMaker
from trunkline_worker.runtimes.fake import EOS_ID, ByteCodec, FakeDecoder
from trunkline_worker.speculation import Costs, Drafted, Drafter, Speculation
from trunkline_worker.tokenizer import ChatMessage

CODEC = ByteCodec()
GUIDES = GuideMaker(CODEC, frozenset({EOS_ID}), 258)
ALWAYS = Costs(single_s=1.0, draft_s=1e-9)


class Tireless(Speculation):
    """Verifies whatever can be drafted, wrong or not."""

    def draft(self, drafter, room_tokens):
        self.costs = ALWAYS
        return super().draft(drafter, room_tokens)


def answer(request: GenerationRequest, verify_tokens: int, slot_tokens: int = 200) -> tuple[list[Delta], Drafted]:
    runtime = FakeDecoder(2, slot_tokens, verify_tokens=verify_tokens)
    batch = Batcher(runtime, CODEC, frozenset({EOS_ID}), BatchConfig(), ManualClock())
    batch._speculation = Tireless(verify_tokens)
    batch.add(request)
    deltas = []
    while batch.has_work:
        deltas += batch.step()
    return deltas, batch.load().drafted


def ask(text: str, **options) -> GenerationRequest:
    ids = tuple(CODEC.encode_chat([ChatMessage(role="user", content=text)]))
    return GenerationRequest(request_id="a", prompt_ids=ids, **{"sampling": SamplingOptions(temperature=0)} | options)


def said(deltas: list[Delta]):
    """All that a caller is told, however it is cut into messages."""
    last = deltas[-1]
    return (
        "".join(delta.text for delta in deltas),
        [token_id for delta in deltas for token_id in delta.token_ids],
        [logprobs for delta in deltas for logprobs in delta.logprobs],
        (last.finish, last.matched_stop, last.usage),
    )


parts = st.text("ab€", min_size=1)
repetitive = st.builds(lambda part, times, rest: part * times + rest, parts, st.integers(1, 9), st.text())
sampling = st.builds(
    SamplingOptions,
    temperature=st.sampled_from([0.0, 0.7, 2.0]),
    seed=st.integers(0, 99),
    top_p=st.sampled_from([1.0, 0.9]),
    frequency_penalty=st.sampled_from([0.0, 1.5]),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
)


@settings(max_examples=100, deadline=None)
@given(
    repetitive.filter(lambda text: len(text.encode()) < 150),
    sampling,
    st.integers(0, 60),
    st.sampled_from([(), ("ba",), ("aab", "€")]),
    st.sampled_from([None, 2]),
    st.sampled_from([2, 4, 7]),
)
def test_drafts_never_change_an_answer(text, options, max_tokens, stop, top_logprobs, verify_tokens):
    request = ask(text, sampling=options, max_tokens=max_tokens, stop=stop, top_logprobs=top_logprobs)
    drafted, _ = answer(request, verify_tokens)
    plain, none = answer(request, 0)
    assert said(drafted) == said(plain)
    assert none == Drafted()


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_drafts_keep_to_a_grammar(temperature):
    grammar = GUIDES.compile(regex_grammar(r"(ab|cd){3,12}x"))
    request = ask("abababababababcd" * 3, sampling=SamplingOptions(temperature=temperature, seed=3), grammar=grammar)
    drafted, counts = answer(request, 4)
    assert said(drafted) == said(answer(request, 0)[0])
    assert counts.drafts
    assert drafted[-1].finish is FinishReason.STOP


def test_a_repetitive_answer_takes_few_steps():
    deltas, counts = answer(ask("0123456789" * 6), 4)
    assert said(deltas)[0] == "0123456789" * 6
    assert len(deltas) <= 61 / 4 + 4
    assert counts.accepted >= 0.9 * counts.tokens
    assert counts.tokens == 3 * counts.drafts


def test_the_slot_has_room_for_a_draft_or_there_is_none():
    deltas, _ = answer(ask("0123456789" * 6), 4, slot_tokens=90)
    assert deltas[-1].finish is FinishReason.LENGTH
    assert said(deltas)[0] == ("0123456789" * 6)[:29]


def test_company_is_never_drafted():
    runtime = FakeDecoder(2, 200, verify_tokens=4)
    batch = Batcher(runtime, CODEC, frozenset({EOS_ID}), BatchConfig(), ManualClock())
    batch._speculation = Tireless(4)
    for name in ("a", "b"):
        batch.add(GenerationRequest(request_id=name, prompt_ids=tuple(b"xxxxxxxx"), max_tokens=20, ignore_eos=True))
    while batch.load().running < 2:
        batch.step()
    before = batch.load().drafted
    while batch.load().running == 2:
        batch.step()
    assert batch.load().drafted == before


def test_a_draft_is_what_followed_the_last_time_and_goes_on_in_itself():
    drafter = Drafter(b"abcX abcY abc")
    assert bytes(drafter.draft(3)) == b"Y a"
    assert Drafter(b"abcdef").draft(3) == ()
    assert Drafter(b"ab").draft(3) == ()
    assert bytes(Drafter(b"zzzz").draft(5)) == b"zzzzz"
    assert bytes(Drafter(b"ababab").draft(5)) == b"ababa"


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 8))
def test_a_draft_continues_the_latest_occurrence(ids, count):
    tail = ids[-3:]
    begins = [place + 3 for place in range(len(ids) - 3) if ids[place : place + 3] == tail]
    drafted = Drafter(ids).draft(count)
    if not begins or len(ids) < 3:
        assert drafted == ()
    else:
        text = list(ids)
        for place in range(count):
            text.append(text[begins[-1] + place])
        assert list(drafted) == text[len(ids) :]


def test_drafts_are_judged_by_what_comes_used_or_not():
    drafter = Drafter(b"abcdefg abc")
    assert drafter.made == 1
    drafter.draft(3)
    for token_id in b"def":
        assert drafter.drafting
        drafter.push(token_id)
    assert not drafter.drafting
    good = drafter.made
    assert good == pytest.approx(1 + 0.3 * 3)
    assert bytes(drafter.draft(3)) == b"g a"
    drafter.push(ord("!"))
    assert not drafter.drafting
    assert drafter.made == pytest.approx(good + 0.3 * (1 - good))


def test_costs_decide_and_a_bad_moment_passes():
    costs = Costs()
    assert costs.ratio == 2
    assert costs.pays(2.2)
    assert not costs.pays(2.0)
    slow = costs.after_single(0.01).after_draft(0.05)
    assert not slow.pays(4)
    for _ in range(60):
        slow = slow.after_doubt()
    assert slow.pays(4)
    assert slow.draft_s >= 0.02
    assert costs.after_single(0.01).after_draft(0.011).after_doubt().ratio == pytest.approx(1.1)


def test_what_does_not_pay_is_not_verified():
    speculation, drafter = Speculation(4), Drafter(b"abcdef abc")
    assert speculation.draft(drafter, 100) == ()
    for token_id in b"def abcdef abcdef":
        drafter.push(token_id)
        speculation.draft(drafter, 100)
    assert speculation.draft(drafter, 100)
    assert speculation.draft(drafter, 2) == ()
    speculation.verified((1, 2, 3), 2, 0.02)
    speculation.decoded(0.01)
    assert speculation.drafted == Drafted(drafts=1, tokens=3, accepted=2)
    assert speculation.costs.ratio == 2
    assert Speculation(0).draft(drafter, 100) == ()
