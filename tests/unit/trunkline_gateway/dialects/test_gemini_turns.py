import json

import msgspec
import pytest

from trunkline_gateway.dialects.canonical import (
    Audio,
    Dialect,
    File,
    Image,
    Message,
    Reasoning,
    Request,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from trunkline_gateway.dialects.frames import Head
from trunkline_gateway.dialects.gemini_answers import decode_answer
from trunkline_gateway.dialects.gemini_turns import OWN, UNSIGNED, contents_of
from trunkline_gateway.dialects.matrix import CLIENTS
from trunkline_kit.errors import InvalidRequest, Unsupported


def ask(*messages, checks_signatures=False):
    request = Request(dialect=Dialect.CHAT, model="m", messages=messages)
    return sent_for(request, checks_signatures=checks_signatures)


def sent_for(request, *, checks_signatures):
    return json.loads(msgspec.json.encode(contents_of(request, checks_signatures=checks_signatures)))


def user(*parts):
    return Message(role=Role.USER, parts=parts)


def model(*parts):
    return Message(role=Role.ASSISTANT, parts=parts)


def call(number, signature=""):
    return ToolCall(id=f"c{number}", name=f"f{number}", arguments=f'{{"n": {number}}}', signature=signature)


def result(number, text="done"):
    return Message(role=Role.TOOL, parts=(ToolResult(call_id=f"c{number}", parts=(Text(text=text),)),))


def called(number, **fields):
    return {"functionCall": {"id": f"c{number}", "name": f"f{number}", "args": {"n": number}}, **fields}


def answered(number, text="done"):
    return {"functionResponse": {"id": f"c{number}", "name": f"f{number}", "response": {"output": text}}}


def test_results_lead_their_turn_in_the_order_of_the_calls():
    contents = ask(
        user(Text(text="a")), model(call(1), call(2)), result(2), result(1, "one"), user(Text(text="b")), model()
    )
    assert [content["role"] for content in contents] == ["user", "model", "user"]
    assert contents[1]["parts"] == [called(1), called(2)]
    assert contents[2]["parts"] == [answered(1, "one"), answered(2), {"text": "b"}]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([user(Text(text="a")), model(call(1))], "messages[1].tool_calls"),
        ([user(Text(text="a")), model(call(1), call(2)), result(1)], "messages[1].tool_calls"),
        ([user(Text(text="a")), model(Text(text="b")), result(1)], "messages[2].content[0]"),
        ([user(Text(text="a")), model(call(1)), result(1), model(Text(text="b")), result(1)], "messages[4]"),
        ([user()], "messages[0].content"),
        ([user(Text(text=""))], "messages[0].content"),
        ([model()], "messages"),
        ([user(Text(text="a")), model(ToolCall(id="c", name="f", arguments="[1]"))], "messages[1].content[0]"),
    ],
)
def test_what_does_not_belong_together_is_the_callers_mistake(messages, param):
    with pytest.raises(InvalidRequest) as refused:
        ask(*messages)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (Image(data="AA==", media_type="image/png"), {"inlineData": {"mimeType": "image/png", "data": "AA=="}}),
        (
            Image(url="https://e.example/a.JPG?x=1"),
            {"fileData": {"fileUri": "https://e.example/a.JPG?x=1", "mimeType": "image/jpeg"}},
        ),
        (Image(url="https://e.example/a"), {"fileData": {"fileUri": "https://e.example/a"}}),
        (
            File(url="gs://bucket/a.pdf"),
            {"fileData": {"fileUri": "gs://bucket/a.pdf", "mimeType": "application/pdf"}},
        ),
        (File(text="hey"), {"inlineData": {"mimeType": "text/plain", "data": "aGV5"}}),
        (
            File(data="AA==", media_type="application/pdf"),
            {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}},
        ),
        (Audio(data="AA==", format="mp3"), {"inlineData": {"mimeType": "audio/mp3", "data": "AA=="}}),
    ],
)
def test_media(part, sent):
    assert ask(user(part))[0]["parts"] == [sent]


def test_what_should_be_known_of_a_document_comes_before_it():
    parts = ask(user(File(text="hey", context="from 1999")))[0]["parts"]
    assert [*parts[0], *parts[1]] == ["text", "inlineData"]


def test_results_with_media_and_errors():
    shown = ToolResult(call_id="c1", parts=(Text(text="a"), Image(data="AA==", media_type="image/png")), is_error=True)
    sent = ask(user(Text(text="a")), model(call(1)), user(shown))[2]["parts"][0]["functionResponse"]
    assert sent["response"] == {"error": "a"}
    assert sent["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]
    linked = ToolResult(call_id="c1", parts=(Image(url="https://e.example/a.png"),))
    with pytest.raises(Unsupported) as refused:
        ask(user(Text(text="a")), model(call(1)), user(linked))
    assert refused.value.param == "messages[2].content[0].content[0]"


def test_thoughts_of_others_are_left_out():
    parts = (
        Reasoning(text="t", signature="s", origin="anthropic"),
        Reasoning(text="t"),
        Reasoning(text="own", signature="s", origin=OWN),
        Text(text="a"),
    )
    sent = ask(user(Text(text="a")), model(*parts))[1]["parts"]
    assert sent == [{"text": "own", "thought": True, "thoughtSignature": "s"}, {"text": "a"}]


def test_a_signature_before_a_call_is_the_calls():
    proof = Reasoning(signature="s", origin=OWN)
    for said in ((proof, call(1), call(2)), (proof, call(1, "s"), call(2))):
        sent = ask(user(Text(text="a")), model(*said), result(1), result(2))[1]["parts"]
        assert sent == [called(1, thoughtSignature="s"), called(2)]


def test_calls_of_another_model_are_said_to_be_unsigned():
    turns = (user(Text(text="a")), model(call(1), call(2)), result(1), result(2))
    assert ask(*turns, checks_signatures=True)[1]["parts"] == [called(1, thoughtSignature=UNSIGNED), called(2)]
    signed = (user(Text(text="a")), model(call(1, "s"), call(2)), result(1), result(2))
    assert ask(*signed, checks_signatures=True)[1]["parts"] == [called(1, thoughtSignature="s"), called(2)]


ANSWER = [
    {"text": "Hm.", "thought": True},
    {"text": "Let me look."},
    {"functionCall": {"id": "c1", "name": "f1", "args": {"n": 1}}, "thoughtSignature": "c2ln+/=="},
    {"functionCall": {"id": "c2", "name": "f2", "args": {"n": 2}}},
]


def next_request(client, parts, call_ids):
    """Of a client that sends back everything it was answered."""
    candidate = {"content": {"parts": parts}, "finishReason": "STOP"}
    answer = decode_answer(json.dumps({"responseId": "r", "candidates": [candidate]}).encode())
    said = json.loads(client.encode_answer(answer, Head(id="i", model="m"), b'{"model":"m"}'))
    first, last = {"role": "user", "content": "a"}, {"role": "user", "content": "b"}
    match client.name:
        case "chat":
            results = [{"role": "tool", "tool_call_id": call_id, "content": "done"} for call_id in call_ids]
            body = {"messages": [first, said["choices"][0]["message"], *results, last]}
        case "messages":
            results = [{"type": "tool_result", "tool_use_id": call_id, "content": "done"} for call_id in call_ids]
            turn = {"role": "user", "content": [*results, {"type": "text", "text": "b"}]}
            body = {"max_tokens": 9, "messages": [first, {"role": "assistant", "content": said["content"]}, turn]}
        case _:
            results = [{"type": "function_call_output", "call_id": call_id, "output": "done"} for call_id in call_ids]
            body = {"input": [first, *said["output"], *results, last]}
    return client.decode_request(json.dumps({"model": "m", **body}).encode())


every_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


@every_client
def test_a_calls_signature_comes_back_through_every_client(client):
    request = next_request(client, ANSWER, ["c1", "c2"])
    sent = sent_for(request, checks_signatures=True)[1]["parts"]
    assert sent == ANSWER[1:], "what the model thought is for people"


@every_client
def test_a_texts_signature_comes_back_through_every_client(client):
    request = next_request(client, [{"text": "a", "thoughtSignature": "dGV4dA=="}], [])
    sent = sent_for(request, checks_signatures=True)[1]["parts"]
    proof = {"text": "", "thoughtSignature": "dGV4dA=="}
    assert sorted(map(str, sent)) == sorted(map(str, [{"text": "a"}, proof]))
    assert client.name == "chat" or sent[1] == proof


@every_client
def test_a_client_that_keeps_no_thoughts_can_go_on(client):
    """Its calls are said to be unsigned, unless the call itself brings its signature back."""
    request = next_request(client, ANSWER, ["c1", "c2"])
    kept = [
        msgspec.structs.replace(said, parts=tuple(p for p in said.parts if not isinstance(p, Reasoning)))
        for said in request.messages
    ]
    bare = msgspec.structs.replace(request, messages=tuple(kept))
    signature = sent_for(bare, checks_signatures=True)[1]["parts"][1]["thoughtSignature"]
    assert signature == ("c2ln+/==" if client.name == "chat" else UNSIGNED)
