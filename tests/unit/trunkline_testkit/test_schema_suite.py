"""The suite's questions, on schemas made by hand."""

import json
from random import Random

import msgspec
import pytest

from trunkline_testkit.schema_suite import Group, Instance, accepts, byte_guides, compiled, tally, walks


@pytest.fixture(scope="module")
def guides():
    return byte_guides()


def group(schema: object, **instances: bool) -> Group:
    tests = tuple(Instance(msgspec.Raw(text.encode()), valid) for text, valid in instances.items())
    return Group("by hand", msgspec.Raw(msgspec.json.encode(schema)), tests)


def test_instances_are_counted_by_what_could_be_written(guides):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "additionalProperties": False}
    instances = {'{"a":1,"b":null}': True, '{"b":null,"a":1}': True, '{"a":"x"}': False, "{}": True, "[]": False}
    made = tally(guides, (group(schema, **instances), group({"not": {"type": "integer"}}, **{"1": False})))
    assert (made.schemas, made.refused, made.reached, made.narrower, made.kept_out) == (2, 1, 2, 1, 2)
    assert made.let_through == []


def test_what_the_suite_calls_invalid_and_could_be_written_is_named(guides):
    made = tally(guides, (group({"type": "integer"}, **{"7": False}),))
    assert made.let_through == ["by hand: : 7"]


@pytest.mark.parametrize(("schema", "text"), [(True, "[1]"), ({}, '"é"')])
def test_schemas_that_are_true_and_text_beyond_ascii(guides, schema, text):
    assert accepts(guides, group(schema), json.dumps(json.loads(text), ensure_ascii=False))
    assert not accepts(guides, group(schema), "[1")


def test_false_is_refused(guides):
    assert compiled(guides, group(False)) is None
    assert not accepts(guides, group(False), "1")


def test_walks_end(guides):
    schema = {"type": "array", "items": {"enum": ["a", 1]}, "maxItems": 3}
    texts = list(walks(guides, group(schema), Random(2), 20))
    assert len(texts) == 20
    assert all(set(json.loads(text)) <= {"a", 1} for text in texts)
    assert list(walks(guides, group(False), Random(2), 3)) == []
