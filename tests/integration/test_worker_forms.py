"""Answers held to a form, several at once, by the real model and its vocabulary of 49,152 tokens."""

import re

import jsonschema_rs
import msgspec
import pytest

from trunkline_kit.clock import SystemClock
from trunkline_testkit.models import require_model
from trunkline_worker.batching import BatchConfig, Batcher
from trunkline_worker.catalogue import SMOLLM2
from trunkline_worker.generation import FinishReason, GenerationRequest, SamplingOptions
from trunkline_worker.grammars import Grammar, Kind, options_grammar, regex_grammar
from trunkline_worker.guides import GuideMaker
from trunkline_worker.model_store import open_model
from trunkline_worker.runtimes.onnx import OnnxDecoder, SlotConfig
from trunkline_worker.runtimes.session import SessionConfig
from trunkline_worker.tokenizer import ChatMessage, ModelTokenizer, read_tokenizer, read_tokenizer_config

pytestmark = pytest.mark.timeout(300)
SCHEMAS = [
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 3},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    },
    {"type": "string", "format": "date"},
    {"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3}]},
    {"type": "string", "pattern": "^[a-zé🙂]{2,6}$"},
]


class Model:
    """The model, loaded once."""

    def __init__(self) -> None:
        folder = open_model(require_model(SMOLLM2.name), SMOLLM2.name)
        self.codec = ModelTokenizer(read_tokenizer(folder.path / "tokenizer.json"), read_tokenizer_config(folder.path))
        self.eos_ids = folder.config.model.eos_ids
        self.runtime = OnnxDecoder(folder, SlotConfig(slots=8, slot_tokens=256), SessionConfig())
        self.guides = GuideMaker(self.codec, self.eos_ids, self.runtime.vocabulary_size)

    def ask(self, name: str, text: str, **options) -> GenerationRequest:
        ids = tuple(self.codec.encode_chat([ChatMessage(role="user", content=text)]))
        return GenerationRequest(request_id=name, prompt_ids=ids, **{"max_tokens": 120} | options)

    def run(self, requests: list[GenerationRequest]) -> dict[tuple[str, int], tuple[str, FinishReason | None]]:
        batch = Batcher(self.runtime, self.codec, self.eos_ids, BatchConfig(), SystemClock())
        for request in requests:
            batch.add(request)
        answers: dict[tuple[str, int], tuple[str, FinishReason | None]] = {}
        while batch.has_work:
            for delta in batch.step():
                key = (delta.request_id, delta.index)
                answers[key] = (answers.get(key, ("", None))[0] + delta.text, delta.finish)
        return answers


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_every_answer_that_ends_is_valid(model, temperature):
    requests, checks = [], {}
    for number, schema in enumerate(SCHEMAS):
        grammar = Grammar(kind=Kind.JSON_SCHEMA, text=msgspec.json.encode(schema).decode(), param="response_format")
        sampling = SamplingOptions(temperature=temperature, seed=number)
        made = model.ask(str(number), "Describe a cat.", sampling=sampling, grammar=model.guides.compile(grammar))
        requests.append(msgspec.structs.replace(made, choices=2))
        checks[str(number)] = jsonschema_rs.validator_for(schema)
    answers = model.run(requests)
    assert len(answers) == 2 * len(SCHEMAS)
    for (name, _), (text, finish) in answers.items():
        assert finish is FinishReason.STOP, text
        assert checks[name].is_valid(msgspec.json.decode(text)), text


def test_regex_options_and_free_text_run_side_by_side(model):
    sampling = SamplingOptions(temperature=2, seed=1)
    regex, options = regex_grammar("[0-9]{2}:[0-9]{2}"), options_grammar(["Paris", "Rome"])
    free = model.ask("free", "What is the capital of France?", sampling=SamplingOptions(temperature=0), max_tokens=20)
    answers = model.run(
        [
            model.ask("time", "What time is it?", sampling=sampling, grammar=model.guides.compile(regex)),
            model.ask("city", "Name a city.", sampling=sampling, grammar=model.guides.compile(options)),
            free,
        ]
    )
    assert re.fullmatch("[0-9]{2}:[0-9]{2}", answers["time", 0][0])
    assert answers["city", 0][0] in {"Paris", "Rome"}
    assert answers["free", 0] == model.run([free])["free", 0]


def test_answers_of_one_request_are_those_of_its_seed(model):
    sampling = SamplingOptions(temperature=1.2, seed=11)
    asked = model.ask("a", "Tell me a story about a fox.", sampling=sampling, max_tokens=12, choices=3)
    together = model.run([asked, model.ask("b", "Say hello.", sampling=SamplingOptions(temperature=0), max_tokens=20)])
    alone = model.run([asked])
    assert {key: text for key, text in together.items() if key[0] == "a"} == alone
    first = model.run([msgspec.structs.replace(asked, choices=1)])
    assert first["a", 0] == alone["a", 0]
    assert len({text for text, _ in alone.values()}) > 1
