import json

import pytest

from trunkline_gateway.dialects.assembly import Answer, Choice
from trunkline_gateway.dialects.canonical import Audio, Citation, Reasoning, Refusal, Text, ToolCall
from trunkline_gateway.dialects.chat_answers import FINISHES, encode_answer, encode_error
from trunkline_gateway.dialects.events import FinishReason, TokenLogprob, Usage
from trunkline_gateway.dialects.frames import Head
from trunkline_kit.errors import Unsupported


def choice_of(*parts, **fields):
    answer = Answer(id="c", choices=(Choice(parts=parts, finish=FinishReason.STOP, **fields),))
    return json.loads(encode_answer(answer, Head(model="m", created=5)))["choices"][0]


def test_the_least_there_is():
    assert json.loads(encode_answer(Answer(id="c", model="p"), Head(created=5))) == {
        "id": "c",
        "object": "chat.completion",
        "created": 5,
        "model": "p",
        "choices": [],
    }
    assert choice_of() == {
        "index": 0,
        "message": {"role": "assistant", "content": None, "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }


def test_what_the_gateway_says_comes_first():
    answer = Answer(id="c", model="p", created=7, usage=Usage(output_tokens=1))
    whole = json.loads(encode_answer(answer, Head(id="mine", model="m", created=5)))
    assert (whole["id"], whole["model"], whole["created"]) == ("mine", "m", 7)
    assert whole["usage"]["completion_tokens"] == 1


def test_a_message():
    message = choice_of(
        Reasoning(text="t", signature="s", origin="anthropic"),
        Text(text="ab"),
        Text(text="cd", citations=(Citation(url="u", start=1), Citation(quote="no url"))),
        Refusal(text="no"),
        Audio(id="s", data="AA", transcript="hi"),
        ToolCall(id="i", name="f", arguments="{}", signature="g"),
    )["message"]
    assert (message["content"], message["refusal"], message["reasoning_content"]) == ("abcd", "no", "t")
    assert message["annotations"][0]["url_citation"] == {"url": "u", "title": "", "start_index": 3, "end_index": 4}
    assert message["audio"] == {"id": "s", "data": "AA", "transcript": "hi"}
    assert message["thinking_blocks"] == [{"type": "thinking", "thinking": "t", "signature": "s"}]
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "g"}}


def test_logprobs():
    token = TokenLogprob("a", -1.0)
    assert choice_of(refusal_logprobs=(token,))["logprobs"] == {
        "content": None,
        "refusal": [{"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": []}],
    }


@pytest.mark.parametrize("finish", FinishReason)
def test_every_end_has_a_word(finish):
    assert FINISHES[finish] in {"stop", "length", "tool_calls", "content_filter"}


def test_errors():
    error = json.loads(encode_error(Unsupported("m", param="p")))["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "p", "unsupported_parameter")
