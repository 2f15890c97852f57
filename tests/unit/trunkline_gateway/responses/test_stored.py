"""Questions about what is kept."""

import json

import msgspec
import pytest

from trunkline_gateway.responses.desk import Desk, Made
from trunkline_gateway.responses.states import MemoryStates
from trunkline_gateway.responses.stored import Page, check_query, input_items, page_asked
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import InvalidRequest, Unsupported
from trunkline_kit.settings import Responses


def test_pages_are_asked_for_as_openai_has_it():
    assert page_asked(b"") == Page(limit=20, newest_first=True, after="")
    assert page_asked(b"limit=5&order=asc&after=msg_1") == Page(limit=5, newest_first=False, after="msg_1")


@pytest.mark.parametrize(
    ("query", "param"),
    [(b"limit=0", "limit"), (b"limit=101", "limit"), (b"limit=x", "limit"), (b"order=up", "order")],
    ids=str,
)
def test_what_makes_no_page_is_named(query, param):
    with pytest.raises(InvalidRequest) as caught:
        page_asked(query)
    assert caught.value.param == param


def test_a_kept_response_does_not_come_as_a_stream():
    check_query(b"include=x&stream=false")
    with pytest.raises(Unsupported):
        check_query(b"stream=true")


async def test_items_come_newest_first_page_by_page():
    desk = Desk(MemoryStates(ManualClock(), 1 << 20), Responses())
    items = [msgspec.Raw(b'{"role":"user","content":"%d"}' % number) for number in range(3)]
    response = json.dumps({"id": "resp_1", "status": "completed"}).encode()
    await desk.keep("a", Made(response=response, account="", input=items, before=[], wanted=True))
    first = json.loads(await input_items(desk, "a", "resp_1", Page(limit=2)))
    assert (first["object"], first["has_more"]) == ("list", True)
    assert [item["content"][0]["text"] for item in first["data"]] == ["2", "1"]
    rest = json.loads(await input_items(desk, "a", "resp_1", Page(limit=2, after=first["last_id"])))
    assert (rest["has_more"], rest["first_id"]) == (False, rest["last_id"])
    nothing = json.loads(await input_items(desk, "a", "resp_1", Page(after=rest["last_id"])))
    assert (nothing["data"], nothing["first_id"]) == ([], None)
