"""Items that are nothing without their ids, and ids that may not go out."""

import json

import msgspec
import pytest

from trunkline_gateway.responses.references import REFERENCES_MAX, looked_up, named_in
from trunkline_kit.errors import InvalidRequest


def raw(value):
    return msgspec.Raw(json.dumps(value).encode())


def one(value):
    return named_in([value if isinstance(value, msgspec.Raw) else raw(value)]).get(0)


@pytest.mark.parametrize(
    "item",
    [
        {"id": "x"},
        {"type": None, "id": "x"},
        {"type": "", "id": "x"},
        {"type": "item_reference", "id": "x"},
        {"type": "item_reference", "id": "x", "role": "user", "content": "hi"},
        {"id": "x", "role": "user"},
        {"id": "x", "role": "user", "content": None},
        {"id": "x", "content": "hi"},
        {"type": "reasoning", "id": "x"},
        {"type": "reasoning", "id": "x", "summary": [], "encrypted_content": None},
        {"type": "image_generation_call", "id": "x", "status": "completed"},
    ],
    ids=str,
)
def test_what_says_nothing_itself_is_a_reference(item):
    assert one(item).is_reference


@pytest.mark.parametrize(
    "item",
    [
        {"id": "x", "role": "user", "content": "hi"},
        {"type": "message", "id": "x", "role": "assistant", "content": []},
        {"type": "reasoning", "id": "x", "summary": [], "encrypted_content": "gAAA"},
        {"type": "reasoning", "id": "x", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "id": "x", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "image_generation_call", "id": "x", "result": "aGk="},
        {"type": "web_search_call", "id": "x"},
        {"role": "user", "content": "hi", "id": None},
    ],
    ids=str,
)
def test_what_has_its_own_content_can_go_without_its_id(item):
    found = one(item)
    assert not found.is_reference
    assert json.loads(bytes(found.item(keeps_id=False))) == {name: item[name] for name in item if name != "id"}
    assert json.loads(bytes(found.item(keeps_id=True))) == item


@pytest.mark.parametrize("item", [{"role": "user", "content": "hi"}, "text", 5, [{"id": "x"}], None], ids=str)
def test_what_has_no_id_is_left_alone(item):
    assert one(item) is None


def test_an_id_given_twice_or_spelled_otherwise_is_one():
    twice = one(msgspec.Raw(b'{"id":"theirs","\\u0069d":"mine","role":"user","content":"hi"}'))
    assert twice.id == "mine"
    assert bytes(twice.item(keeps_id=True)) == b'{"id":"mine","role":"user","content":"hi"}'
    assert one(msgspec.Raw(b'{"id":"theirs","id":null,"role":"user","content":"hi"}')).id == ""


@pytest.mark.parametrize("other", [{"type": 5}, {"encrypted_content": 5}, {"role": 7}], ids=str)
def test_an_odd_member_does_not_hide_an_id(other):
    assert one({"id": "x", **other}).id == "x"


def test_references_are_looked_up_once_each_and_only_so_many():
    reference, message = {"id": "a"}, {"id": "b", "role": "user", "content": "hi"}
    found = named_in([raw(item) for item in (reference, message, reference, message)])
    assert looked_up([*found.values()]) == ["a", "b"]
    with pytest.raises(InvalidRequest) as caught:
        named_in([raw(reference)] * (REFERENCES_MAX + 1))
    assert caught.value.param == "input"
    many = [raw({**message, "id": f"m{number}"}) for number in range(REFERENCES_MAX + 5)]
    assert looked_up([*named_in(many).values()])[0] == "m5"
