"""What a request continues, in front of what it says."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway import body as bodies
from trunkline_gateway.dialects.responses_requests import decode_request
from trunkline_gateway.responses.conversation import (
    Picked,
    history_of,
    id_of,
    items_of,
    listed,
    pointing,
    refuse,
    rewritten,
)
from trunkline_gateway.responses.records import Record
from trunkline_kit.errors import InvalidRequest, Unsupported


def raw(value):
    return msgspec.Raw(json.dumps(value).encode())


def said(text, **rest):
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}], **rest}


def record(asked, output, **rest):
    return Record(
        response=raw({"id": "resp_1", "output": output}),
        input=items_of(bodies.members_of(json.dumps({"input": asked}).encode())),
        **rest,
    )


def plain(raws):
    return [json.loads(bytes(one)) for one in raws]


THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}


def test_a_conversation_goes_in_front():
    members = bodies.members_of(b'{"model":"m","input":"c","previous_response_id":"resp_1","x":{"a": 1}}')
    records = [record("a", [said("b", id="msg_1", status="completed")])]
    body = rewritten(members, history_of(records), items_of(members))
    found = json.loads(body)
    assert "previous_response_id" not in found
    assert found["x"] == {"a": 1}
    assert found["input"] == [
        {"role": "user", "content": "a", "type": "message"},
        said("b", status="completed"),
        {"role": "user", "content": "c", "type": "message"},
    ]


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), min_size=1, max_size=5))
def test_what_comes_of_it_is_what_a_client_would_have_sent_itself(turns):
    by_us = rewritten(
        bodies.members_of(b'{"model":"m","input":"last","previous_response_id":"x"}'),
        history_of([record(asked, [said(answer, id="msg_1")]) for asked, answer in turns]),
        items_of(bodies.members_of(b'{"input":"last"}')),
    )
    items = [item for asked, answer in turns for item in ({"role": "user", "content": asked}, said(answer))]
    by_client = json.dumps({"model": "m", "input": [*items, {"role": "user", "content": "last"}]}).encode()
    assert decode_request(by_us).messages == decode_request(by_client).messages


def test_thoughts_of_an_account_stay_there_and_ours_go_along():
    theirs, ours = record("a", [THOUGHT, said("b")], account="up"), record("a", [THOUGHT, said("b")])
    assert [item.get("type") for item in plain(history_of([theirs]))] == ["message", "message"]
    assert [item.get("type") for item in plain(history_of([ours]))] == ["message", "reasoning", "message"]


def test_items_that_are_still_referred_to_leave_the_rest_alone():
    members = bodies.members_of(b'{"previous_response_id":"resp_1","input":[1]}')
    assert json.loads(pointing(members, [raw({"a": 1})])) == {"previous_response_id": "resp_1", "input": [{"a": 1}]}


def test_input_is_listed_with_ids_and_parts():
    records = [record("a", [said("b", id="msg_b")]), record([{"role": "assistant", "content": "c"}], [])]
    items = plain(listed(history_of(records), "resp_9"))
    assert [item["id"] for item in items] == ["msg_9_in0", "msg_b", "msg_9_in2"]
    assert [item["content"][0]["type"] for item in items] == ["input_text", "output_text", "output_text"]
    assert {item["status"] for item in items} == {"completed"}


@given(st.integers(1, 7), st.integers(0, 20), st.integers(1, 5))
def test_pages_together_are_everything_once(limit, count, step):
    items = [raw({"id": f"msg_{number}"}) for number in range(count)]
    after, has_more, found = "", True, []
    while has_more:
        picked = Picked(limit, after)
        for start in range(0, count, step):
            picked.add(items[start : start + step])
        page, has_more = picked.page(), picked.has_more
        assert len(page) <= limit
        found += page
        after = id_of(page[-1]) if page else ""
    assert found == items


def test_a_page_after_nothing_is_refused():
    picked = Picked(5, "msg_2")
    picked.add([raw({"id": "msg_1"}), raw({"role": "user"})])
    with pytest.raises(InvalidRequest) as caught:
        picked.page()
    assert caught.value.param == "after"


@pytest.mark.parametrize("field", ["background", "conversation"])
def test_what_nobody_here_can_do_is_named(field):
    with pytest.raises(Unsupported) as caught:
        refuse({field: raw(True)})
    assert caught.value.param == field
    refuse({field: raw(None)})
    refuse({"background": raw(False)})
