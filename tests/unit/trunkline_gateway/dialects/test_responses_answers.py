import json

import pytest

from trunkline_gateway.dialects import responses_wire
from trunkline_gateway.dialects.assembly import Answer, Choice
from trunkline_gateway.dialects.canonical import Audio, Citation, Reasoning, Refusal, Text, ToolCall
from trunkline_gateway.dialects.events import FinishReason, TokenLogprob, Usage
from trunkline_gateway.dialects.frames import Head
from trunkline_gateway.dialects.responses_answers import encode_answer, encode_error, failure_of
from trunkline_gateway.dialects.responses_requests import echo_of
from trunkline_kit.errors import RateLimited, UpstreamError


def response_of(*parts, finish=FinishReason.STOP, echo=responses_wire.Echoed(), **fields):  # noqa: B008
    answer = Answer(id="c", model="p", choices=(Choice(parts=parts, finish=finish, **fields),))
    return json.loads(encode_answer(answer, Head(id="resp_1", model="m", created=5), echo))


def test_the_least_there_is():
    assert response_of() == {
        "id": "resp_1",
        "object": "response",
        "created_at": 5,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": "m",
        "output": [],
        "usage": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "user": None,
    }


def test_it_repeats_what_was_asked():
    echo = echo_of(b'{"model":"m","input":"x","instructions":"be brief","tools":[{"type":"function"}],"store":false}')
    found = response_of(echo=echo)
    assert (found["instructions"], found["tools"], found["store"]) == ("be brief", [{"type": "function"}], False)


def test_items():
    items = response_of(
        Reasoning(text="t", signature="s", origin="anthropic"),
        Text(text="ab", citations=(Citation(url="u", title="T"), Citation(quote="no url"))),
        Refusal(text="no"),
        Audio(transcript="hi"),
        ToolCall(id="i", name="f", arguments="{}"),
        logprobs=(TokenLogprob("a", -1.0),),
    )["output"]
    assert [item["id"] for item in items] == ["rs_1_0", "msg_1_1", "msg_1_2", "msg_1_3", "fc_1_4"]
    assert items[0]["encrypted_content"] == "trunkline.anthropic.signature.s"
    text = items[1]["content"][0]
    assert text["annotations"] == [{"type": "url_citation", "start_index": 0, "end_index": 2, "url": "u", "title": "T"}]
    assert [token["token"] for token in text["logprobs"]] == ["a"]
    assert items[2]["content"] == [{"type": "refusal", "refusal": "no"}]
    assert items[3]["content"][0]["text"] == "hi"
    assert (items[4]["call_id"], items[4]["arguments"], items[4]["status"]) == ("i", "{}", "completed")


def test_thoughts_without_words():
    (item,) = response_of(Reasoning(encrypted="e", origin="openai"))["output"]
    assert item == {"type": "reasoning", "id": "rs_1_0", "summary": [], "encrypted_content": "e"}
    (bare,) = response_of(Reasoning(text="t"))["output"]
    assert "encrypted_content" not in bare


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        (FinishReason.TOOL_CALLS, "completed", None),
        (FinishReason.LENGTH, "incomplete", "max_output_tokens"),
        (FinishReason.REFUSAL, "incomplete", "content_filter"),
    ],
)
def test_ends(finish, status, reason):
    found = response_of(Text(text="a"), Text(text="b"), finish=finish)
    assert found["status"] == status
    assert (found["incomplete_details"] or {}).get("reason") == reason
    assert [item["status"] for item in found["output"]] == ["completed", status]
    assert response_of(finish=None)["incomplete_details"] is None


def test_usage():
    used = Usage(input_tokens=1, cache_read_tokens=2, cache_write_tokens=3, output_tokens=4, reasoning_tokens=2)
    assert json.loads(encode_answer(Answer(usage=used), Head()))["usage"] == {
        "input_tokens": 6,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 10,
    }


def test_errors():
    assert json.loads(encode_error(UpstreamError("m")))["error"]["code"] == "upstream_error"
    assert failure_of(UpstreamError("m")).code == "server_error"
    assert failure_of(RateLimited("m")).code == "rate_limit_exceeded"
