"""JSON Merge Patch: the RFC's own examples, and the laws that follow from its text."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.admin.merge_patch import merged

RFC_7396_APPENDIX_A = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7396_APPENDIX_A)
def test_the_examples_of_the_rfc(target, patch, result):
    assert merged(target, patch) == result


NAMES = st.sampled_from("abc")
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.text("xy", max_size=2)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner), max_leaves=8)
OBJECTS = st.dictionaries(NAMES, JSON)


@given(JSON, JSON)
def test_twice_is_once(target, patch):
    once = merged(target, patch)
    assert merged(once, patch) == once


@given(OBJECTS)
def test_an_empty_patch_changes_nothing(target):
    assert merged(target, {}) == target


@given(OBJECTS, OBJECTS)
def test_what_the_patch_does_not_name_stays_and_what_it_nulls_is_gone(target, patch):
    result = merged(target, patch)
    for name in target.keys() - patch.keys():
        assert result[name] == target[name]
    for name, value in patch.items():
        if value is None:
            assert name not in result
        elif not isinstance(value, dict):
            assert result[name] == value


@given(JSON, JSON)
def test_neither_is_changed(target, patch):
    before = copy.deepcopy((target, patch))
    merged(target, patch)
    assert (target, patch) == before


def has_null_member(value):
    return isinstance(value, dict) and any(one is None or has_null_member(one) for one in value.values())


@given(OBJECTS)
def test_out_of_nothing_no_nulls_come(patch):
    assert not has_null_member(merged({}, patch))
