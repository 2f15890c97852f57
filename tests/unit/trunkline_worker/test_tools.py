import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.errors import InvalidRequest, Unsupported
from trunkline_worker.generation import SamplingOptions
from trunkline_worker.guides import GuideMaker
from trunkline_worker.runtimes.fake import EOS_ID, ByteCodec
from trunkline_worker.tokenizer import ChatMessage
from trunkline_worker.tools import CallPiece, CallReader, Tools, decode_tools

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rome", "Oslo"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
NOW = {"type": "function", "function": {"name": "now"}}


def tools(choice=None, *given_) -> Tools:
    return decode_tools(msgspec.json.encode(given_ or [WEATHER, NOW]), msgspec.json.encode(choice))


def test_choices():
    assert decode_tools(b"", b"") == decode_tools(b"[]", b"") == tools("none") == Tools()
    assert [one.name for one in tools().functions] == ["get_weather", "now"]
    assert (tools("auto").required, tools("required").required) == (False, True)
    chosen = tools({"type": "function", "function": {"name": "now"}})
    assert ([one.name for one in chosen.functions], chosen.required) == (["now"], True)


@pytest.mark.parametrize(
    ("given_", "choice", "param", "kind"),
    [
        ([{}], None, "tools", InvalidRequest),
        ([{"type": "web_search"}], None, "tools[0].type", Unsupported),
        ([NOW, {"type": "function"}], None, "tools[1].function.name", InvalidRequest),
        ([{"type": "function", "function": {"name": "a b"}}], None, "tools[0].function.name", InvalidRequest),
        ([NOW, NOW], None, "tools[1].function.name", InvalidRequest),
        ([NOW] * 129, None, "tools", InvalidRequest),
        ([NOW], "always", "tool_choice", InvalidRequest),
        ([NOW], 5, "tool_choice", InvalidRequest),
        ([NOW], {"type": "function", "function": {"name": "then"}}, "tool_choice", InvalidRequest),
        ([NOW], {"type": "function"}, "tool_choice", InvalidRequest),
    ],
)
def test_what_is_wrong_is_named(given_, choice, param, kind):
    with pytest.raises(kind) as refused:
        tools(choice, *given_)
    assert refused.value.param == param


def test_the_prompt_tells_of_the_functions():
    user = ChatMessage(role="user", content="hi")
    made = tools().prompted([user])
    assert (made[0].role, made[1]) == ("system", user)
    assert "get_weather" in made[0].content
    assert "Weather of a city" in made[0].content
    system = ChatMessage(role="system", content="Be kind.")
    assert tools().prompted([system, user])[0].content.startswith("Be kind.\n\nYou can call")
    assert Tools().prompted([user]) == [user]


def read(pieces: list[str], *, whole: bool = True) -> tuple[str, str, str]:
    reader, text, calls = CallReader(), "", []
    for piece in pieces:
        shown, call = reader.push(piece)
        text += shown
        calls += [call] if call else []
    if not whole and (call := reader.rest()):
        calls.append(call)
    assert [bool(call.id) for call in calls] == [place == 0 for place in range(len(calls))]
    return text, "".join(call.name for call in calls), "".join(call.arguments for call in calls)


@given(st.data(), st.dictionaries(st.text(max_size=4), st.text('{}\\"a,:', max_size=5) | st.integers(), max_size=3))
def test_however_it_is_cut_the_arguments_are_whole(data, arguments):
    text = msgspec.json.encode(arguments).decode()
    whole = f'{{"name": "f-1", "arguments": {text}}}'
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert read(pieces) == ("", "f-1", text)
    assert read([whole[:-1]], whole=False) == ("", "f-1", text)


@given(st.lists(st.text(max_size=5)))
def test_text_stays_what_it_is(pieces):
    text = "".join(pieces)
    if not text.startswith("{"):
        assert read(pieces) == (text, "", "")


def test_a_call_that_is_cut_off_keeps_what_it_has():
    assert read(['{"name": "f", "arguments": {"a": 1'], whole=False) == ("", "f", '{"a": 1')
    assert read(['{"name": "f'], whole=False) == ("", "", "")
    assert CallPiece() == CallPiece(id="", name="", arguments="")


@pytest.mark.parametrize("choice", ["required", "auto"])
@pytest.mark.parametrize("seed", range(6))
def test_an_answer_is_a_call_or_text(choice, seed):
    import numpy as np

    from trunkline_worker.sampling import Sampler

    codec = ByteCodec()
    maker = GuideMaker(codec, frozenset({EOS_ID}), codec.vocabulary_size)
    grammar = tools(choice).grammar()
    assert grammar is not None
    guide = maker.compile(grammar).guide()
    bias = {ord("{"): 100.0, EOS_ID: 2.0} if choice == "auto" and seed % 2 else {}
    sampler = Sampler(SamplingOptions(temperature=2, seed=seed, logit_bias=bias), guide=guide)
    random, ids = np.random.default_rng(seed), []
    while not guide.done and len(ids) < 300:
        ids.append(sampler.choose(random.standard_normal(codec.vocabulary_size).astype(np.float32)))
    text, name, arguments = read([codec.decode(ids)])
    if choice == "required" or bias:
        assert text == ""
        assert msgspec.json.decode(arguments) in ({"city": "Rome"}, {"city": "Oslo"}, {})
        assert name == ("get_weather" if msgspec.json.decode(arguments) else "now")
    else:
        assert (name, text == "") == ("", False) or name in {"get_weather", "now"}


def test_without_functions_there_is_no_grammar():
    assert Tools().grammar() is None
