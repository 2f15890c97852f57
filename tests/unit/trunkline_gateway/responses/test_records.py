"""What is kept of a response, and under which names."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.auth import Principal
from trunkline_gateway.responses.records import (
    Place,
    Record,
    Seen,
    cipher_name,
    item_name,
    items_in,
    owner_of,
    packed,
    packed_place,
    response_in,
    response_name,
    seen,
    unpacked,
    unpacked_bytes,
    unpacked_place,
)


def raw(value):
    return msgspec.Raw(json.dumps(value).encode())


@given(st.dictionaries(st.text(), st.text()), st.lists(st.dictionaries(st.text(), st.text())), st.lists(st.text()))
def test_a_record_comes_back_as_it_was(response, items, before):
    record = Record(response=raw(response), input=[raw(item) for item in items], before=before, account="up")
    found = unpacked(packed(record))
    assert (bytes(found.response), found.before, found.account) == (bytes(record.response), before, "up")
    assert [bytes(item) for item in found.input] == [bytes(item) for item in record.input]


def test_how_much_it_takes_is_known_before_it_is_unpacked():
    record = Record(response=raw({"id": "a" * 100_000}))
    data = packed(record)
    assert len(data) < 1_000
    assert unpacked_bytes(data) > record.size_bytes > 100_000
    lying = (1_000).to_bytes(4, "big") + data[4:]
    assert unpacked(lying) is None, "never more than it says"


@given(st.integers(0), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_place_comes_back_as_it_was(size_bytes, response_id):
    assert unpacked_place(packed_place(Place(size_bytes, response_id))) == Place(size_bytes, response_id)
    assert unpacked_place(response_id.encode() + b"x") == Place()


@given(st.binary(max_size=60))
def test_what_is_no_record_is_none(data):
    assert unpacked(data) is None


def test_keys_of_one_team_share_what_they_keep_and_teams_do_not():
    one, mate = Principal(key_id="a", team="t"), Principal(key_id="b", team="t")
    assert owner_of(one) == owner_of(mate)
    others = [Principal(key_id="a", team="u"), Principal(key_id="a", org="t", team="t")]
    assert len({owner_of(each) for each in (one, *others)}) == 3
    assert owner_of(Principal(key_id="a", org="x/y", team="z")) != owner_of(Principal(key_id="a", org="x", team="y/z"))


def test_an_answer_says_how_it_is_to_be_kept():
    thought = {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA"}
    ours = {"type": "reasoning", "id": "rs_2", "encrypted_content": "trunkline.anthropic.signature.x"}
    found = seen(json.dumps({"id": "resp_1", "status": "completed", "output": [thought, ours, {"type": "x"}]}).encode())
    assert found.is_over
    assert [item.cipher for item in found.output] == ["gAAA", "", ""]


def test_only_what_is_over_is_kept():
    for status, is_over in (("completed", True), ("incomplete", True), ("failed", False), ("in_progress", False)):
        assert seen(json.dumps({"id": "resp_1", "status": status}).encode()).is_over == is_over
    assert seen(b"[1]") == Seen()
    assert not seen(b'{"status": "completed"}').is_over


def test_the_response_is_taken_out_of_an_event():
    assert bytes(response_in(b'{"type": "response.completed", "response": {"id": 1}}')) == b'{"id": 1}'
    assert bytes(response_in(b"nonsense")) == b"null"
    assert items_in([raw("text"), raw({"type": "message"})])[1].type == "message"


def test_names_of_different_kinds_differ():
    assert len({cipher_name("x"), item_name("x"), response_name("x")}) == 3
    assert response_name("resp_1\n") != response_name("resp_1")
