"""Reranking: what every kind of server is asked, and that every kind of answer becomes Cohere's."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.rerank import COHERE, DOCUMENTS, TEXTS, asked_of, error_in, ranked, request_for
from trunkline_kit.errors import InvalidRequest, Unsupported, UpstreamError


def body(**members):
    return json.dumps({"model": "m", "query": "q", "documents": ["a", {"text": "b"}, "c"], **members}).encode()


def asked(**members):
    return asked_of(body(**members))


def answered(answer, **members):
    found = ranked(json.dumps(answer).encode(), asked(**members), "rerank-1")
    return json.loads(found.body), found.usage


SCORES = [{"index": 0, "relevance_score": 0.1}, {"index": 2, "relevance_score": 0.9}, {"index": 1, "score": 0.5}]


@pytest.mark.parametrize("shape", [DOCUMENTS, COHERE], ids=["documents", "cohere"])
def test_a_server_is_asked_in_its_own_name_and_documents_are_texts(shape):
    sent = json.loads(request_for(body(top_n=2, return_documents=True, novel=1), "real", shape))
    assert sent == {"model": "real", "query": "q", "documents": ["a", "b", "c"], "top_n": 2, "novel": 1}


def test_text_embeddings_inference_is_asked_in_its_words():
    sent = json.loads(request_for(body(top_n=2, truncate=True, max_tokens_per_doc=None), "real", TEXTS))
    assert sent == {"query": "q", "texts": ["a", "b", "c"], "truncate": True, "max_tokens_per_doc": None}


@pytest.mark.parametrize(
    ("shape", "members", "param"),
    [
        (TEXTS, {"max_tokens_per_doc": 9}, "max_tokens_per_doc"),
        (COHERE, {"rank_fields": ["title"]}, "rank_fields"),
        (COHERE, {"documents": ["a", {"title": "b"}]}, "documents[1]"),
        (TEXTS, {"documents": [{"text": "b", "title": "c"}]}, "documents[0]"),
        (TEXTS, {"documents": [{"text": 3}]}, "documents[0]"),
    ],
    ids=["tei-cut", "cohere-fields", "cohere-object", "tei-object", "tei-number"],
)
def test_what_a_server_cannot_do_is_refused_by_name(shape, members, param):
    with pytest.raises(Unsupported) as caught:
        request_for(body(**members), "real", shape)
    assert caught.value.param == param


def test_objects_go_to_servers_that_may_know_them():
    documents = [{"title": "t", "text": "x"}]
    assert json.loads(request_for(body(documents=documents), "real", DOCUMENTS))["documents"] == documents


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"documents": []}, "documents"),
        ({"documents": ["a", 3]}, "documents[1]"),
        ({"query": None}, "query"),
        ({"top_n": 0}, "top_n"),
        ({"documents": "a"}, "documents"),
    ],
    ids=["none", "number", "no-query", "top-0", "text"],
)
def test_what_is_wrong_with_a_request_is_named(members, param):
    with pytest.raises(InvalidRequest) as caught:
        asked(**members)
    assert caught.value.param.replace("[...]", "[1]") == param


@pytest.mark.parametrize(
    "wrap",
    [lambda rows: {"results": rows}, lambda rows: rows, lambda rows: {"data": rows}],
    ids=["cohere", "sglang", "voyage"],
)
def test_the_best_comes_first_whatever_the_servers_form(wrap):
    answer, usage = answered(wrap(SCORES))
    assert [(row["index"], row["relevance_score"]) for row in answer["results"]] == [(2, 0.9), (1, 0.5), (0, 0.1)]
    assert (answer["id"], answer["model"], usage) == ("rerank-1", "m", None)
    assert answer["meta"] == {"api_version": {"version": "2"}}, "nothing is made up about what was billed"


def test_documents_are_the_callers_own():
    answer, _ = answered({"results": SCORES}, return_documents=True, top_n=2)
    assert [row["document"] for row in answer["results"]] == [{"text": "c"}, {"text": "b"}]
    answer, _ = answered({"results": [{**row, "document": {"text": "?"}} for row in SCORES]})
    assert all("document" not in row for row in answer["results"])


@pytest.mark.parametrize(
    ("said", "usage", "meta"),
    [
        ({"usage": {"total_tokens": 7}}, (7, None), {"tokens": {"input_tokens": 7}}),
        ({"usage": {"prompt_tokens": 6, "total_tokens": 7}}, (6, None), {"tokens": {"input_tokens": 6}}),
        ({"meta": {"billed_units": {"search_units": 2}}}, (None, 2), {"billed_units": {"search_units": 2}}),
        (
            {"meta": {"billed_units": {"search_units": 1.0}, "tokens": {"input_tokens": 30.0}}},
            (30, 1),
            {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 30}},
        ),
    ],
    ids=["jina", "vllm", "cohere", "cohere-tokens"],
)
def test_what_it_took_is_said_as_the_server_says_it(said, usage, meta):
    answer, found = answered({"id": "theirs", "results": SCORES, **said})
    assert (found.prompt_tokens, found.search_units) == usage
    assert answer["id"] == "theirs"
    assert answer["meta"] == {"api_version": {"version": "2"}, **meta}
    assert answer.get("usage") == (None if usage[0] is None else {"prompt_tokens": usage[0], "total_tokens": usage[0]})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no",
        b"{}",
        b"[]",
        b'{"results":[]}',
        b'{"results":[{"index":3,"score":1}]}',
        b'{"results":[{"index":-1,"score":1}]}',
        b'{"results":[{"index":0}]}',
        b'{"results":[{"index":0,"score":1},{"index":0,"score":1}]}',
        b'{"results":[{"score":1}]}',
        b'{"results":[{"index":0,"score":1e999}]}',
        b"\xff",
        b"[" * 5_000,
    ],
    ids=range(13),
)
def test_an_answer_that_is_none_is_refused(data):
    with pytest.raises(UpstreamError):
        ranked(data, asked(), "rerank-1")


def test_an_error_that_came_with_200_is_found():
    assert error_in(b'{"error":{"message":"x"}}') == b'{"message":"x"}'
    assert [error_in(data) for data in (b"{}", b"[]", b"no")] == [b"", b"", b""]


@given(st.data())
def test_results_are_the_best_documents_in_order(data):
    documents = data.draw(st.lists(st.text(max_size=5) | st.fixed_dictionaries({"text": st.text()}), min_size=1))
    indexes = data.draw(st.lists(st.sampled_from(range(len(documents))), min_size=1, unique=True))
    scores = data.draw(st.lists(st.floats(-9, 9), min_size=len(indexes), max_size=len(indexes)))
    top_n = data.draw(st.none() | st.integers(1, 20))
    rows = [{"index": index, "relevance_score": score} for index, score in zip(indexes, scores, strict=True)]
    answer, _ = answered({"results": rows}, documents=documents, top_n=top_n, return_documents=True)
    given_back = answer["results"]
    assert len(given_back) == min(len(indexes), top_n or len(indexes))
    found = [row["relevance_score"] for row in given_back]
    assert found == sorted(scores, reverse=True)[: len(found)]
    by_index = dict(zip(indexes, scores, strict=True))
    for row in given_back:
        said = documents[row["index"]]
        assert row["document"] == (said if isinstance(said, dict) else {"text": said})
        assert by_index[row["index"]] == row["relevance_score"]
