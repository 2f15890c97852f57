"""Whatever the model would say, what comes out is what was asked for."""

import re

import jsonschema_rs
import msgspec
import numpy as np
import pytest

from trunkline_kit.errors import InvalidRequest, Unsupported
from trunkline_worker.candidates import Scratch
from trunkline_worker.generation import SamplingOptions
from trunkline_worker.grammars import Grammar, Kind, options_grammar, regex_grammar, response_grammar
from trunkline_worker.guides import GuideMaker
from trunkline_worker.runtimes.fake import EOS_ID, ByteCodec
from trunkline_worker.sampling import Sampler

CODEC = ByteCodec()
SIZE = CODEC.vocabulary_size
SHORT = {"type": "string", "maxLength": 6}
SCHEMAS = [
    {"type": "boolean"},
    {"type": "null"},
    {"enum": ["a", 1, None, [1, 2], {"b": True}]},
    {"const": {"x": [1, "ä"]}},
    {"type": "integer", "minimum": -5, "maximum": 130},
    {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "multipleOf": 0.25},
    {"type": "string", "pattern": "^[A-Z]{2}[0-9]{1,3}$"},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "minLength": 2, "maxLength": 4},
    {"type": ["string", "null"], "maxLength": 3},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 4},
    {"type": "array", "prefixItems": [SHORT, {"type": "null"}], "items": False, "minItems": 2},
    {"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 1, "maximum": 9}]},
    {"oneOf": [{"const": "a"}, {"const": "b"}]},
    {"allOf": [{"type": "integer", "minimum": 3}, {"type": "integer", "maximum": 7}]},
    {"type": "object", "properties": {"a": SHORT, "b": {"type": "boolean"}}, "additionalProperties": False},
    {"type": "object", "properties": {"a": SHORT}, "required": ["a"], "additionalProperties": False},
    {"$defs": {"leaf": {"enum": [1, 2]}}, "type": "array", "items": {"$ref": "#/$defs/leaf"}, "maxItems": 3},
    {
        "$ref": "#/$defs/t",
        "$defs": {"t": {"anyOf": [{"const": 0}, {"type": "array", "items": {"$ref": "#/$defs/t"}, "maxItems": 2}]}},
    },
]


@pytest.fixture(scope="module")
def maker() -> GuideMaker:
    return GuideMaker(CODEC, frozenset({EOS_ID}), SIZE)


def written(maker: GuideMaker, grammar: Grammar, seed: int, temperature: float) -> str:
    """What a model of random taste writes."""
    guide = maker.compile(grammar).guide()
    sampler = Sampler(SamplingOptions(temperature=temperature, seed=seed), guide=guide)
    random = np.random.default_rng(seed)
    ids: list[int] = []
    while not guide.done and len(ids) < 2000:
        ids.append(sampler.choose(random.standard_normal(SIZE).astype(np.float32) * 3))
        assert not guide.failed
    assert guide.done
    return CODEC.decode(ids)


def schema_grammar(schema, *, strict: bool = True) -> Grammar:
    asked = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": strict}}
    made = response_grammar(msgspec.json.encode(asked))
    assert made is not None
    return made


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_every_answer_is_valid(maker, schema, temperature):
    validator = jsonschema_rs.validator_for(schema)
    for seed in range(8):
        text = written(maker, schema_grammar(schema), seed, temperature)
        assert validator.is_valid(msgspec.json.decode(text)), text


@pytest.mark.parametrize("seed", range(5))
def test_any_object(maker, seed):
    grammar = response_grammar(b'{"type":"json_object"}')
    guide = maker.compile(grammar).guide()
    for byte in b'{"a": [1, {"b": null}]}':
        mask = guide.mask(Scratch(SIZE).weights)
        assert mask is not None
        assert mask[byte] == 0
        guide.accept(byte)
    assert guide.done


@pytest.mark.parametrize("seed", range(8))
def test_regex_and_options(maker, seed):
    assert re.fullmatch(r"(ab|c)+[0-9]{2}", written(maker, regex_grammar("(ab|c){1,5}[0-9]{2}"), seed, 2.0))
    assert written(maker, options_grammar(["yes", "no", 'a "b"\n']), seed, 2.0) in {"yes", "no", 'a "b"\n'}


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "nope"}, InvalidRequest),
        ({"type": "string", "pattern": "("}, InvalidRequest),
        ({"$ref": "#/nowhere"}, InvalidRequest),
        ([], InvalidRequest),
        ("x", InvalidRequest),
        ({"type": "object", "properties": {"a": {"not": {"type": "string"}}}}, Unsupported),
        ({"type": "array", "uniqueItems": True}, Unsupported),
        ({"type": "string", "format": "of-my-own"}, Unsupported),
    ],
)
def test_a_bad_schema_is_refused_by_name(maker, schema, kind):
    with pytest.raises(InvalidRequest) as refused:
        maker.compile(schema_grammar(schema))
    assert type(refused.value) is kind
    assert refused.value.param == "response_format.json_schema.schema"


def test_without_strict_unknown_keywords_are_left_out(maker):
    written(
        maker,
        schema_grammar({"type": "array", "items": {"const": 1}, "maxItems": 2, "uniqueItems": True}, strict=False),
        1,
        2.0,
    )


def test_a_grammar_is_compiled_once(maker):
    first = maker.compile(regex_grammar("once"))
    assert maker.compile(regex_grammar("once")) is first
    for number in range(200):
        maker.compile(regex_grammar(f"n{number}"))
    assert maker.compile(regex_grammar("once")) is not first


def test_a_guide_that_is_misled_fails_and_lets_go(maker):
    guide = maker.compile(regex_grammar("ab")).guide()
    guide.accept(ord("x"))
    assert guide.mask(Scratch(SIZE).weights) is None
    assert guide.failed


def test_a_bad_lark_is_ours_to_see(maker):
    with pytest.raises(InvalidRequest, match="guided_choice cannot be followed"):
        maker.compile(Grammar(kind=Kind.LARK, text="start: nothing", param="guided_choice"))
