"""What a target cannot do is refused by the caller's own name for it, before anything is sent."""

import pytest
from msgspec import Raw
from msgspec.structs import replace

from trunkline_gateway.dialects.abilities import Abilities, field_name, refuse, suited
from trunkline_gateway.dialects.canonical import (
    Audio,
    CacheMark,
    Dialect,
    Extra,
    File,
    Function,
    Image,
    Message,
    Native,
    NativeTool,
    Request,
    Role,
    Sampling,
    Structure,
    Text,
    Thinking,
    ThinkingMode,
    ToolChoice,
    ToolMode,
    ToolResult,
)
from trunkline_kit.errors import Unsupported

PLAIN = Request(dialect=Dialect.CHAT, model="m", messages=(Message(role=Role.USER, parts=(Text(text="x"),)),))
NOTHING = Abilities(
    tools=False,
    images=False,
    files=False,
    json_object=False,
    json_schema=False,
    thinking=False,
    stops=False,
    midway_instructions=False,
    one_tool_at_a_time=False,
    sampling=False,
)
EVERYTHING = Abilities(
    allowed_tools=True,
    audio_input=True,
    audio_output=True,
    file_ids=True,
    logprobs=True,
    choices=True,
    seed=True,
    penalties=True,
    logit_bias=True,
    top_k=True,
    verbosity=True,
)
TOOL = Function(name="f")
ASKED = [
    ({"tools": (TOOL,)}, "tools", "tools", "tools"),
    ({"structure": Structure()}, "response_format", "output_config.format", "text.format"),
    ({"structure": Structure(schema=Raw(b"{}"))}, "response_format", "output_config.format", "text.format"),
    ({"logprobs": True}, "logprobs", "logprobs", "top_logprobs"),
    ({"choices": 2}, "n", "choices", "choices"),
    ({"audio": Raw(b"{}")}, "audio", "audio", "audio"),
    ({"verbosity": "low"}, "verbosity", "verbosity", "text.verbosity"),
    ({"stops": ("x",)}, "stop", "stop_sequences", "stops"),
    ({"thinking": Thinking(effort="low")}, "reasoning_effort", "thinking", "reasoning"),
    ({"thinking": Thinking(budget_tokens=9)}, "reasoning_effort", "thinking", "reasoning"),
    ({"sampling": Sampling(temperature=0.5)}, "temperature", "temperature", "temperature"),
    ({"sampling": Sampling(top_p=0.5)}, "top_p", "top_p", "top_p"),
    ({"sampling": Sampling(seed=1)}, "seed", "seed", "seed"),
    ({"sampling": Sampling(top_k=1)}, "top_k", "top_k", "top_k"),
    ({"sampling": Sampling(frequency_penalty=0.5)}, "frequency_penalty", "frequency_penalty", "frequency_penalty"),
    ({"sampling": Sampling(presence_penalty=0.5)}, "presence_penalty", "presence_penalty", "presence_penalty"),
    ({"sampling": Sampling(logit_bias=Raw(b'{"1":1}'))}, "logit_bias", "logit_bias", "logit_bias"),
]


@pytest.mark.parametrize(("asked", "chat", "messages", "responses"), ASKED)
def test_it_is_named_as_the_caller_names_it(asked, chat, messages, responses):
    for dialect, name in zip(Dialect, (chat, messages, responses), strict=True):
        request = replace(PLAIN, dialect=dialect, **asked)
        refuse(request, EVERYTHING)
        with pytest.raises(Unsupported) as refused:
            refuse(request, NOTHING)
        assert refused.value.param == name


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"verbosity": "medium"},
        {"thinking": Thinking(mode=ThinkingMode.OFF)},
        {"thinking": Thinking(mode=ThinkingMode.ADAPTIVE)},
        {"sampling": Sampling(frequency_penalty=0.0, logit_bias=Raw(b"{}"))},
        {"sampling": Sampling(temperature=1, top_p=1)},
        {"parallel_tool_calls": False},
        {"cache": CacheMark()},
        {"tool_choice": ToolChoice(mode=ToolMode.AUTO)},
    ],
)
def test_what_asks_for_nothing_is_not_refused(asked):
    refuse(replace(PLAIN, **asked), NOTHING)


def test_choices_among_tools():
    request = replace(PLAIN, tools=(TOOL,), tool_choice=ToolChoice(mode=ToolMode.AUTO, allowed=("f",)))
    refuse(request, EVERYTHING)
    assert refused_for(request, Abilities()) == "tool_choice"
    one = replace(PLAIN, tools=(TOOL,), parallel_tool_calls=False)
    assert refused_for(one, Abilities(one_tool_at_a_time=False)) == "parallel_tool_calls"


def test_amounts():
    many = replace(PLAIN, stops=tuple("abcde"))
    assert refused_for(many, Abilities(stops_max=4)) == "stop"
    hot = replace(PLAIN, sampling=Sampling(temperature=1.5))
    assert refused_for(hot, Abilities(temperature_max=1)) == "temperature"
    refuse(hot, Abilities())


def refused_for(request, abilities, dropped=frozenset()):
    with pytest.raises(Unsupported) as refused:
        refuse(request, abilities, dropped)
    return refused.value.param


@pytest.mark.parametrize(
    ("part", "abilities"),
    [
        (Image(url="u"), Abilities(images=False)),
        (Image(url="u"), Abilities(image_urls=False)),
        (Image(file_id="f"), Abilities()),
        (File(data="d"), Abilities(files=False)),
        (File(url="u"), Abilities(file_urls=False)),
        (File(text="t"), Abilities(file_text=False)),
        (File(file_id="f"), Abilities()),
        (Audio(data="d"), Abilities()),
        (Audio(id="a"), Abilities(audio_input=True)),
        (Native(dialect=Dialect.MESSAGES, type="search_result", raw=Raw(b"{}")), Abilities()),
    ],
)
def test_parts_are_named_by_their_place(part, abilities):
    message = Message(role=Role.USER, parts=(Text(text="x"), part), place="messages[4]")
    request = replace(PLAIN, messages=(message,))
    assert refused_for(request, abilities) == "messages[4].content[1]"
    refuse(replace(request, dialect=Dialect.MESSAGES), replace(EVERYTHING, native=Dialect.MESSAGES))


def test_parts_of_tool_results():
    result = ToolResult(call_id="c", parts=(Text(text="x"), Image(data="d")))
    request = replace(PLAIN, messages=(Message(role=Role.TOOL, parts=(result,), place="messages[1]"),))
    refuse(request, Abilities())
    assert refused_for(request, Abilities(tool_result_media=False)) == "messages[1].content[0].content[1]"


def test_instructions_in_mid_conversation():
    late = Message(role=Role.SYSTEM, parts=(Text(text="x"),), place="messages[1]")
    request = replace(PLAIN, messages=(*PLAIN.messages, late))
    assert refused_for(request, Abilities(midway_instructions=False)) == "messages[1].role"


def test_what_only_its_own_dialect_knows():
    native = NativeTool(dialect=Dialect.MESSAGES, type="web_search", raw=Raw(b"{}"), place="tools[0]")
    request = replace(PLAIN, dialect=Dialect.MESSAGES, tools=(native,))
    refuse(request, Abilities(native=Dialect.MESSAGES))
    assert refused_for(request, Abilities(native=Dialect.CHAT)) == "tools[0]"


def test_unknown_fields_are_passed_dropped_or_refused():
    request = replace(PLAIN, extras=(Extra(name="min_p", raw=Raw(b"1")),))
    refuse(request, Abilities(native=Dialect.CHAT))
    refuse(request, Abilities(), frozenset({"min_p"}))
    assert refused_for(request, Abilities()) == "min_p"
    assert field_name(request, "structure") == "response_format"


def test_what_changes_nothing_is_not_even_sent():
    request = replace(PLAIN, sampling=Sampling(temperature=1, top_p=1, seed=2))
    assert suited(request, Abilities(sampling=False)).sampling == Sampling(seed=2)
    assert suited(request, Abilities()) is request


def test_a_stored_conversation_must_be_there():
    request = replace(PLAIN, dialect=Dialect.RESPONSES, continues="resp_1")
    assert refused_for(request, Abilities()) == "previous_response_id"
