import numpy as np
import pytest

from trunkline_worker.generation import FinishReason, GenerationRequest, SamplingOptions
from trunkline_worker.runtimes.fake import EOS_ID, ByteCodec
from trunkline_worker.sequence import Limits, Sequence

LIMITS = Limits(slot_tokens=10, eos_ids=frozenset({EOS_ID}))
ROW = np.zeros(258, np.float32)


def sequence(**options) -> Sequence:
    request = GenerationRequest(
        request_id="a", prompt_ids=(1, 2, 3), sampling=SamplingOptions(temperature=0), **options
    )
    return Sequence(request, ByteCodec(), LIMITS, now_s=5.0)


def say(one: Sequence, text: str):
    return [one.take(token, ROW, 9.0) for token in text.encode()]


def test_counts_and_times():
    one = sequence(max_tokens=2)
    one.start(6.0)
    one.prefilled = 3
    one.first(6.5)
    assert (one.held_tokens, one.length) == (3, 3)
    first, last = say(one, "ab")
    assert (first.finish, last.finish) == (None, FinishReason.LENGTH)
    assert (one.held_tokens, one.length) == (4, 5)
    assert first.timing is None
    timing = last.timing
    assert (timing.queue_ms, timing.prefill_ms, timing.decode_ms) == (1000, 500, 2500)
    assert last.usage.completion_tokens == 2


@pytest.mark.parametrize(("asked", "made"), [(0, 7), (3, 3), (50, 7)])
def test_prompt_and_answer_fill_the_slot_at_most(asked, made):
    deltas = say(sequence(max_tokens=asked), "x" * made)
    assert [delta.finish for delta in deltas] == [None] * (made - 1) + [FinishReason.LENGTH]


def test_the_end_token_is_counted_and_not_shown():
    one = sequence()
    say(one, "hi")
    last = one.take(EOS_ID, ROW, 9.0)
    assert (last.text, last.finish, last.usage.completion_tokens) == ("", FinishReason.STOP, 3)


def test_the_end_token_lets_held_text_out():
    one = sequence(stop=("hive",))
    assert [delta.text for delta in say(one, "hi")] == ["", ""]
    assert one.take(EOS_ID, ROW, 9.0).text == "hi"


def test_a_stop_string_beats_the_length():
    one = sequence(stop=("b",), max_tokens=2)
    last = say(one, "ab")[-1]
    assert (last.finish, last.matched_stop, last.text) == (FinishReason.STOP, "b", "")


def test_an_aborted_request_gives_what_it_held():
    one = sequence(stop=("xyz",))
    say(one, "xy")
    ended = one.end(FinishReason.ABORTED, 9.0)
    assert (ended.text, ended.token_ids, ended.finish) == ("xy", (), FinishReason.ABORTED)


def test_what_was_begun_elsewhere_is_no_part_of_the_prompt():
    one = sequence(begun=2)
    one.cached = 2
    one.start(6.0)
    usage = one.end(FinishReason.ABORTED, 9.0).usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, usage.begun_tokens) == (1, 1, 2, 2)
    assert [delta.finish for delta in say(one, "x" * 7)] == [None] * 6 + [FinishReason.LENGTH]
