import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects.cohere_embeddings import TEXTS_MAX, Vectors, batches_of, vectors_in, whole
from trunkline_kit.errors import InvalidRequest, UpstreamError


def asked(texts="a", **fields):
    return [
        json.loads(one.body) for one in batches_of(json.dumps({"model": "m", "input": texts, **fields}).encode(), "e")
    ]


def test_one_text():
    expected = {"model": "e", "texts": ["a"], "input_type": "search_document", "embedding_types": ["float"]}
    assert asked() == [expected]
    assert asked(["a"], user="u", encoding_format="float", dimensions=None) == [expected]


def test_what_can_be_said_beside_it():
    (body,) = asked(encoding_format="base64", dimensions=256, input_type="search_query", truncate="NONE")
    assert body["embedding_types"] == ["base64"]
    assert (body["output_dimension"], body["input_type"], body["truncate"]) == (256, "search_query", "NONE")


@given(st.lists(st.text(max_size=3), min_size=1, max_size=300))
def test_long_lists_are_asked_for_in_pieces(texts):
    bodies = asked(texts)
    assert [text for body in bodies for text in body["texts"]] == texts
    assert all(len(body["texts"]) <= TEXTS_MAX for body in bodies)


@pytest.mark.parametrize(
    ("texts", "fields", "param"),
    [
        ([], {}, "input"),
        ([1, 2], {}, "input"),
        ([[1], [2]], {}, "input"),
        (["a", 1], {}, "input"),
        ("a", {"encoding_format": "int8"}, "encoding_format"),
        ("a", {"input_type": "image"}, "input_type"),
        ("a", {"dimensions": 0}, "dimensions"),
        ("a", {"images": ["x"]}, "images"),
    ],
)
def test_what_is_refused_is_named(texts, fields, param):
    with pytest.raises(InvalidRequest) as refused:
        asked(texts, **fields)
    assert refused.value.param == param


@pytest.mark.parametrize(("kind", "values"), [("float", [[0.5, 1], [1e-9]]), ("base64", ["AAAA", "BBBB"])])
def test_vectors_keep_their_bytes(kind, values):
    said = {"embeddings": {kind: values}, "meta": {"billed_units": {"input_tokens": 7.0}}}
    found = vectors_in(json.dumps(said).encode(), 2)
    body, usage = whole([found, found], "m")
    answer = json.loads(body)
    assert [one["embedding"] for one in answer["data"]] == values * 2
    assert [one["index"] for one in answer["data"]] == [0, 1, 2, 3]
    assert answer["usage"] == {"prompt_tokens": 14, "total_tokens": 14}
    assert (usage.input_tokens, usage.output_tokens) == (14, 0)


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b'{"embeddings":{}}', b'{"embeddings":{"float":[[1]]}}', b'{"message":1}']
)
def test_an_answer_that_is_none(body):
    with pytest.raises(UpstreamError):
        vectors_in(body, 2)


def test_an_answer_may_count_nothing():
    found = vectors_in(b'{"embeddings":{"float":[[1]]}}', 1)
    assert found == Vectors(found.values, 0)
