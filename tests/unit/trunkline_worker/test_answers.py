from msgspec import structs

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_worker.answers import Answers
from trunkline_worker.generation import Delta, FinishReason, GenerationRequest, Usage
from trunkline_worker.runtimes.fake import ByteCodec

USAGE = Usage(prompt_tokens=1, completion_tokens=1)
TOOLS = b'[{"type":"function","function":{"name":"f"}}]'


def answers(choices: int = 1, **fields) -> Answers:
    asked = GenerationRequest(request_id="a", prompt_ids=(104, 105), choices=choices)
    return Answers(pb.GenerateRequest(request_id="a", choices=choices, **fields), asked, ByteCodec())


def delta(text: str, finish: FinishReason | None = None, index: int = 0) -> Delta:
    return Delta(request_id="a", index=index, usage=USAGE, text=text, finish=finish)


def test_every_answer_has_its_echo_once():
    stream = answers(2, echo=True, tokens=pb.TokenIds(ids=[104, 105]))
    made = [stream.message(delta(text, index=index)) for text, index in (("a", 0), ("b", 1), ("c", 0))]
    assert [(one.index, one.text) for one in made] == [(0, "hia"), (1, "hib"), (0, "c")]


def test_a_call_is_told_apart_in_each_answer():
    stream = answers(2, tools_json=TOOLS)
    call = '{"name": "f", "arguments": {}}'
    text = stream.message(delta(call[1:], FinishReason.STOP, index=1))
    assert (text.text, text.finish_reason) == (call[1:], pb.FINISH_REASON_STOP)
    made = stream.message(delta(call, FinishReason.STOP))
    assert (made.text, made.finish_reason) == ("", pb.FINISH_REASON_TOOL_CALLS)
    assert [(one.name, one.arguments) for one in made.tool_calls] == [("f", "{}")]


def test_a_call_cut_off_keeps_its_reason():
    made = answers(tools_json=TOOLS).message(delta('{"name": "f", "arguments": {"a', FinishReason.LENGTH))
    assert made.finish_reason == pb.FINISH_REASON_LENGTH
    assert "".join(one.arguments for one in made.tool_calls) == '{"a'


def test_without_tools_braces_are_text():
    assert answers().message(delta("{", FinishReason.STOP)).text == "{"


def test_a_call_that_was_begun_elsewhere_is_not_named_again():
    whole = '{"name": "f", "arguments": {"a": 1}}'
    for cut in range(1, len(whole)):
        ids = tuple(whole[:cut].encode())
        asked = GenerationRequest(request_id="a", prompt_ids=(104, *ids), begun=cut)
        request = pb.GenerateRequest(request_id="a", tools_json=TOOLS, echo=True)
        first = Answers(pb.GenerateRequest(tools_json=TOOLS), structs.replace(asked, begun=0), ByteCodec())
        second = Answers(request, asked, ByteCodec())
        told = first.message(delta(whole[:cut])).tool_calls
        rest = second.message(delta(whole[cut:], FinishReason.STOP))
        calls = [*told, *rest.tool_calls]
        assert [one.name for one in calls if one.name] == ["f"]
        assert "".join(one.arguments for one in calls) == '{"a": 1}'
        assert (rest.text, rest.finish_reason) == ("", pb.FINISH_REASON_TOOL_CALLS)
