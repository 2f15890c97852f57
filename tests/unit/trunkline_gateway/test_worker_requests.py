"""OpenAI requests as our workers' own, or a refusal that names the field."""

import msgspec
import pytest

from trunkline_gateway.worker_requests import EMBED_TEXTS_MAX, Abilities, chat, completion, embedding, reranking
from trunkline_kit.errors import InvalidRequest, Unsupported

NOTHING, ALL = Abilities(), Abilities(tools=True, response_format=True)
ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def encoded(**body):
    return msgspec.json.encode(body)


def test_tools_and_formats_go_to_a_model_that_has_them():
    body = encoded(**ASK, tools=TOOLS, response_format={"type": "json_object"})
    request = chat(body, "r", ALL)
    assert msgspec.json.decode(request.tools_json) == TOOLS
    assert msgspec.json.decode(request.response_format_json) == {"type": "json_object"}
    with pytest.raises(Unsupported) as caught:
        chat(body, "r", NOTHING)
    assert caught.value.param == "tools"


@pytest.mark.parametrize("name", ["banana", "web_search_options", "prediction", "chat_template_kwargs"])
def test_what_is_not_understood_is_refused_by_name(name):
    for ask, read in ((ASK, chat), ({"model": "m", "prompt": "a"}, completion)):
        with pytest.raises(Unsupported) as caught:
            read(encoded(**ask, **{name: {}}), "r", ALL)
        assert caught.value.param == name
        assert read(encoded(**ask, **{name: None}), "r", ALL) == read(encoded(**ask), "r", ALL)


def test_what_no_answer_depends_on_is_left_out():
    harmless = {"user": "u", "metadata": {}, "store": True, "service_tier": "auto", "prompt_cache_key": "k"}
    wishes = {"reasoning_effort": "low", "parallel_tool_calls": True, "stream_options": {"include_usage": True}}
    assert chat(encoded(**ASK, **harmless, **wishes), "r", NOTHING) == chat(encoded(**ASK), "r", NOTHING)


def test_several_answers_go_to_a_model_that_makes_them():
    several = Abilities(choices=4)
    assert chat(encoded(**ASK, n=4), "r", several).choices == 4
    assert completion(encoded(model="m", prompt="a", n=3, best_of=3), "r", several).choices == 3
    best = completion(encoded(model="m", prompt="a", n=2, best_of=4), "r", several)
    assert (best.choices, best.logprobs, best.top_logprobs) == (4, True, 0)
    for wrong in ({"n": 3, "best_of": 2}, {"best_of": 3, "stream": True}, {"best_of": 5}):
        with pytest.raises(InvalidRequest) as caught:
            completion(encoded(model="m", prompt="a", **wrong), "r", several)
        assert caught.value.param == "best_of"
    with pytest.raises(Unsupported) as caught:
        chat(encoded(**ASK, n=5), "r", several)
    assert caught.value.param == "n"


def test_tool_choice_calls_and_vllms_fields_are_passed_on():
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "tool_calls": calls}]
    body = {"model": "m", "messages": messages, "tools": TOOLS, "tool_choice": "required"}
    request = chat(encoded(**body, top_k=5, min_p=0.25, repetition_penalty=1.5), "r", ALL)
    assert request.tool_choice_json == b'"required"'
    assert msgspec.json.decode(request.messages_json)[1]["tool_calls"] == calls
    sampling = request.sampling
    assert (sampling.top_k, sampling.min_p, sampling.repetition_penalty) == (5, 0.25, 1.5)
    assert chat(encoded(**ASK, top_k=-1), "r", ALL).sampling.top_k == 0
    assert chat(encoded(**ASK, guided_regex="a+"), "r", ALL).regex == "a+"
    assert list(chat(encoded(**ASK, guided_choice=["a", "b"]), "r", ALL).options) == ["a", "b"]


def test_the_newer_name_of_the_token_limit_wins():
    assert chat(encoded(**ASK, max_tokens=1, max_completion_tokens=2), "r", NOTHING).max_tokens == 2
    assert chat(encoded(**ASK), "r", NOTHING).max_tokens == 0


def test_what_is_left_out_stays_the_models_default():
    sampling = chat(encoded(**ASK), "r", NOTHING).sampling
    assert not sampling.HasField("temperature")
    assert not sampling.HasField("top_p")
    assert not sampling.HasField("seed")
    full = chat(encoded(**ASK, temperature=0, top_p=1, seed=-5, logit_bias={"7": -1.5}), "r", NOTHING).sampling
    assert (full.temperature, full.top_p, full.seed, dict(full.logit_bias)) == (0, 1, -5, {7: -1.5})


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"top_p": 0}, "top_p"),
        ({"stop": ""}, "stop"),
        ({"logit_bias": {"99999999999": 1}}, "logit_bias"),
        ({"response_format": {}}, "response_format.type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"presence_penalty": 3}, "presence_penalty"),
    ],
)
def test_wrong_values_name_the_field(extra, param):
    with pytest.raises(InvalidRequest) as caught:
        chat(encoded(**{**ASK, **extra}), "r", ALL)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [("a", "text"), (["a"], "text"), ([1, 2], "tokens"), ([[1, 2]], "tokens")],
)
def test_every_shape_of_one_prompt(prompt, kind):
    assert completion(encoded(model="m", prompt=prompt), "r", NOTHING).WhichOneof("prompt") == kind


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [[1], [2]]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"best_of": 2}, "best_of"),
        ({"suffix": "s"}, "suffix"),
        ({"n": 2}, "n"),
        ({"guided_regex": "a"}, "guided_regex"),
        ({"guided_choice": ["a"]}, "guided_choice"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_what_a_completion_cannot_be(extra, param):
    with pytest.raises(InvalidRequest) as caught:
        completion(encoded(**{"model": "m", "prompt": "a", **extra}), "r", NOTHING)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "given",
    ["", [], [""], [1], [[1]], ["a"] * (EMBED_TEXTS_MAX + 1)],
    ids=["empty", "none", "blank", "ids", "id lists", "many"],
)
def test_what_cannot_be_embedded(given):
    with pytest.raises(InvalidRequest) as caught:
        embedding(encoded(model="m", input=given))
    assert caught.value.param == "input"


def test_what_can_be_embedded():
    found = embedding(encoded(model="m", input=["a", "b"], encoding_format="base64", dimensions=3))
    assert (list(found.request.texts), found.as_base64, found.dimensions) == (["a", "b"], True, 3)
    with pytest.raises(InvalidRequest, match="encoding_format"):
        embedding(encoded(model="m", input="a", encoding_format="hex"))


def test_documents_to_rank_are_texts():
    request = reranking(encoded(model="m", query="q", documents=["a", {"text": "b"}], top_n=1, return_documents=True))
    assert (request.query, list(request.documents)) == ("q", ["a", "b"])
    for extra, param in (
        ({"documents": [{"text": "a", "title": "b"}]}, "documents[0]"),
        ({"rank_fields": ["a"]}, "rank_fields"),
    ):
        with pytest.raises(Unsupported) as caught:
            reranking(encoded(**{"model": "m", "query": "q", "documents": ["a"]} | extra))
        assert caught.value.param == param
    with pytest.raises(InvalidRequest, match="at most 2048"):
        reranking(encoded(model="m", query="q", documents=["a"] * 2049))
