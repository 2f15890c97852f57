import json

from trunkline_gateway.dialects.canonical import Citation
from trunkline_gateway.dialects.events import (
    AudioDelta,
    Begin,
    BlockEnd,
    CitationEvent,
    Finish,
    FinishReason,
    LogprobsEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TokenLogprob,
    ToolCallBegin,
    ToolCallDelta,
    Usage,
)
from trunkline_gateway.dialects.frames import Head
from trunkline_gateway.dialects.responses_items import Sequence, empty_of
from trunkline_gateway.dialects.responses_stream import StreamEncoder
from trunkline_kit.errors import UpstreamError

STOP = Finish(FinishReason.STOP)
A, B = ToolCallBegin(0, "a", "f", 0, 4), ToolCallBegin(1, "b", "g", 0, 5)


def events_of(*events):
    encoder = StreamEncoder(Head(id="resp_1", model="m", created=5))
    frames = [*encoder.encode([Begin(), *events]), *encoder.end()]
    found = [json.loads(frame.data) for frame in frames]
    assert [event["sequence_number"] for event in found] == [*range(len(found))]
    return found


def names(*events):
    """Without `response.`, and with the item it is about."""
    found = events_of(*events)[2:-1]
    return [f"{event['output_index']} {event['type'].removeprefix('response.')}" for event in found]


def test_a_text():
    found = events_of(TextDelta("a"), TextDelta("b"), STOP, Usage(input_tokens=1, output_tokens=2))
    assert [event["type"].removeprefix("response.") for event in found] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert (found[0]["response"]["status"], found[0]["response"]["output"]) == ("in_progress", [])
    assert found[2]["item"]["content"] == []
    assert found[6]["text"] == found[7]["part"]["text"] == "ab"
    assert found[-1]["response"]["output"] == [found[8]["item"]]
    assert found[-1]["response"]["usage"]["total_tokens"] == 3


def test_thoughts_then_text():
    assert names(ReasoningDelta("t"), TextDelta("a", 0, 1), STOP) == [
        "0 output_item.added",
        "0 reasoning_summary_part.added",
        "0 reasoning_summary_text.delta",
        "0 reasoning_summary_text.done",
        "0 reasoning_summary_part.done",
        "0 output_item.done",
        "1 output_item.added",
        "1 content_part.added",
        "1 output_text.delta",
        "1 output_text.done",
        "1 content_part.done",
        "1 output_item.done",
    ]


def test_hidden_thoughts_have_no_part():
    found = events_of(ReasoningDelta(encrypted="e", origin="anthropic"), STOP)
    assert [event["type"] for event in found[2:4]] == ["response.output_item.added", "response.output_item.done"]
    assert found[3]["item"]["encrypted_content"] == "trunkline.anthropic.encrypted.e"


def test_calls_side_by_side():
    found = names(A, B, ToolCallDelta("{", 0, 5), ToolCallDelta("{}", 0, 4), ToolCallDelta("}", 0, 5), STOP)
    assert found == [
        "0 output_item.added",
        "1 output_item.added",
        "1 function_call_arguments.delta",
        "0 function_call_arguments.delta",
        "1 function_call_arguments.delta",
        "0 function_call_arguments.done",
        "0 output_item.done",
        "1 function_call_arguments.done",
        "1 output_item.done",
    ]


def test_a_call_that_is_over_ends_when_the_next_begins():
    found = names(A, ToolCallDelta("{}", 0, 4), BlockEnd(0, 4), B, STOP)
    assert found.index("0 output_item.done") < found.index("1 output_item.added")


def test_text_that_goes_on_after_a_call():
    response = events_of(TextDelta("a"), A, ToolCallDelta("{}", 0, 4), TextDelta("b"), STOP)[-1]["response"]
    assert [item["type"] for item in response["output"]] == ["message", "function_call", "message"]


def test_the_last_item_is_cut_off():
    found = events_of(A, ToolCallDelta("{}", 0, 4), B, ToolCallDelta("{", 0, 5), Finish(FinishReason.LENGTH))
    response = found[-1]["response"]
    assert found[-1]["type"] == "response.incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


def test_refusals_citations_logprobs_and_sound():
    assert "0 refusal.done" in names(RefusalDelta("no"), STOP)
    found = events_of(
        TextDelta("ab"),
        LogprobsEvent((TokenLogprob("ab", -1.0),)),
        CitationEvent(Citation(url="u")),
        CitationEvent(Citation(title="no url")),
        STOP,
    )
    annotation = next(event for event in found if event["type"].endswith("annotation.added"))
    assert (annotation["annotation"]["end_index"], annotation["annotation_index"]) == (2, 0)
    text = found[-1]["response"]["output"][0]["content"][0]
    assert (len(text["annotations"]), len(text["logprobs"])) == (1, 1)
    assert events_of(AudioDelta("AA", "hi"), STOP)[-1]["response"]["output"][0]["content"][0]["text"] == "hi"
    assert names(LogprobsEvent((TokenLogprob("x", 0.0),)), STOP) == []


def test_what_begins_nothing_or_is_of_another_choice():
    assert names(ToolCallDelta("{}", 0, 9), TextDelta("a", 1), BlockEnd(0, 3), STOP) == []
    assert empty_of(ToolCallDelta("{}")) is None


def test_it_is_complete_once():
    encoder = StreamEncoder(Head())
    frames = encoder.encode([TextDelta("a"), STOP, Usage()])
    assert frames[-1].name == "response.completed"
    assert encoder.end() == []
    assert encoder.broken(UpstreamError("late")) == []


def test_usage_without_an_end_is_held():
    encoder = StreamEncoder(Head())
    assert [frame.name for frame in encoder.encode([Begin(), Usage()])] == ["response.created", "response.in_progress"]
    assert encoder.end()[-1].name == "response.incomplete"


def test_a_break():
    encoder = StreamEncoder(Head(id="resp_1"))
    encoder.encode([TextDelta("a")])
    error, failed = (json.loads(frame.data) for frame in encoder.broken(UpstreamError("gone")))
    assert (error["type"], error["code"], error["message"]) == ("error", "upstream_error", "gone")
    assert failed["type"] == "response.failed"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": "gone"}


def test_numbers_of_events():
    out = Sequence()
    out.emit(type="a")
    out.emit_raw("b", b'{"type":"b"')
    assert [json.loads(frame.data)["sequence_number"] for frame in out.take()] == [0, 1]
    assert out.take() == []
