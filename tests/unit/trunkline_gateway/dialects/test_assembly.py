"""A whole answer is the fold of its events, and the other way round."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects.assembly import Answer, BlockFold, Choice, assemble, events_of, message_of
from trunkline_gateway.dialects.canonical import Audio, Citation, Reasoning, Refusal, Role, Text, ToolCall
from trunkline_gateway.dialects.events import (
    AudioDelta,
    Begin,
    CitationEvent,
    ErrorEvent,
    Event,
    Finish,
    FinishReason,
    Other,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TokenLogprob,
    ToolCallBegin,
    ToolCallDelta,
    Usage,
)

words = st.text(min_size=1, max_size=9)
citations = st.builds(Citation, url=words, title=words, start=st.none() | st.integers(0, 9))
parts = st.one_of(
    st.builds(Text, text=words, citations=st.lists(citations, max_size=2).map(tuple)),
    st.builds(Reasoning, text=words, signature=words, origin=words),
    st.builds(Reasoning, encrypted=words, origin=words),
    st.builds(Refusal, text=words),
    st.builds(ToolCall, id=words, name=words, arguments=words, signature=st.text(max_size=3)),
    st.builds(Audio, data=words, transcript=words, id=words, expires_at=st.none() | st.integers(0, 9)),
)
tokens = st.lists(st.builds(TokenLogprob, token=words, logprob=st.floats(-9, 0)), max_size=2).map(tuple)
choices = st.builds(
    Choice,
    parts=st.lists(parts, max_size=4).map(tuple),
    finish=st.sampled_from(FinishReason),
    native_finish=words,
    logprobs=tokens,
    refusal_logprobs=tokens,
)
counts = st.integers(0, 999)
answers = st.builds(
    Answer,
    id=words,
    model=words,
    created=counts,
    choices=st.lists(choices, max_size=3).map(
        lambda found: tuple(msgspec.structs.replace(choice, index=i) for i, choice in enumerate(found))
    ),
    usage=st.none() | st.builds(Usage, input_tokens=counts, cache_read_tokens=counts, output_tokens=counts),
    error=st.none() | st.builds(ErrorEvent, message=words),
)


@given(answer=answers)
def test_the_fold_of_its_events_is_the_answer(answer):
    assert assemble(events_of(answer)) == answer


@given(answer=answers)
def test_answers_and_events_can_be_kept(answer):
    """They are plain values: to JSON and back."""
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer
    events = events_of(answer)
    assert msgspec.json.decode(msgspec.json.encode(events), type=list[Event]) == events


@given(answer=answers, data=st.data())
def test_blocks_may_alternate(answer, data):
    """What counts is the order inside each block."""
    events = events_of(answer)
    lines: dict[tuple[int, int], list[Event]] = {}
    for event in events:
        lines.setdefault((getattr(event, "choice", -1), getattr(event, "block", -1)), []).append(event)
    mixed = []
    while waiting := [line for line in lines.values() if line]:
        mixed.append(data.draw(st.sampled_from(waiting)).pop(0))
    assert assemble(mixed) == answer


def test_parts_are_in_the_order_of_their_numbers():
    answer = assemble(
        [TextDelta("b", 0, 7), ToolCallBegin(0, "i", "f", 0, 9), TextDelta("a", 0, 2), ToolCallDelta("{}", 0, 9)]
    )
    assert answer.choices[0].parts == (Text(text="a"), Text(text="b"), ToolCall(id="i", name="f", arguments="{}"))


def test_the_first_end_counts_and_a_broken_answer_has_none():
    ended = assemble([Begin(), Finish(FinishReason.STOP, 0, "stop"), Finish(FinishReason.LENGTH, 0, "length")])
    assert ended.choices[0].finish is FinishReason.STOP
    assert ended.complete
    broken = assemble([TextDelta("x"), ErrorEvent("gone")])
    assert not broken.complete
    assert broken.choices[0].text == "x"
    assert not assemble([]).complete


def test_what_has_no_counterpart_is_kept_aside():
    other = Other("server_tool_use", msgspec.Raw(b"{}"))
    assert assemble([other]).others == (other,)


def test_a_text_that_came_to_nothing_is_no_part():
    assert assemble([TextDelta(""), RefusalDelta("", 0, 1)]).choices[0].parts == ()


def test_one_block_alone():
    fold = BlockFold(ReasoningDelta())
    for event in (ReasoningDelta("a"), ReasoningDelta("b"), ReasoningDelta(signature="s", origin="anthropic")):
        fold.add(event)
    assert fold.part() == Reasoning(text="ab", signature="s", origin="anthropic")
    sound = BlockFold(AudioDelta())
    for heard in (AudioDelta(data="AA", id="a"), AudioDelta(transcript="hi"), AudioDelta(data="BB", expires_at=5)):
        sound.add(heard)
    assert sound.part() == Audio(data="AABB", transcript="hi", id="a", expires_at=5)
    cited = BlockFold(TextDelta(""))
    cited.add(CitationEvent(Citation(url="u")))
    assert cited.part() == Text(text="", citations=(Citation(url="u"),))


def test_an_answer_is_a_turn_of_the_next_request():
    choice = Choice(parts=(Text(text="hi"), ToolCall(id="i", name="f", arguments="{}")))
    assert message_of(choice).role is Role.ASSISTANT
    assert message_of(choice).parts == choice.parts
    assert choice.tool_calls == [choice.parts[1]]
    assert Choice(parts=(Refusal(text="no"),)).refusal == "no"
