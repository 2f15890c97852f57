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
    await desk.keep("a", Made(response=response, account="", input=items, before=[], sizes=[], wanted=True))
    first = json.loads(await input_items(desk, "a", "resp_1", Page(limit=2)))
    assert (first["object"], first["has_more"]) == ("list", True)
    assert [item["content"][0]["text"] for item in first["data"]] == ["2", "1"]
    rest = json.loads(await input_items(desk, "a", "resp_1", Page(limit=2, after=first["last_id"])))
    assert (rest["has_more"], rest["first_id"]) == (False, rest["last_id"])
    nothing = json.loads(await input_items(desk, "a", "resp_1", Page(after=rest["last_id"])))
    assert (nothing["data"], nothing["first_id"]) == ([], None)


class Counting(MemoryStates):
    """Remembers how many bytes were read."""

    read_bytes = 0

    async def get(self, owner, names):
        found = await super().get(owner, names)
        self.read_bytes += sum(len(data) for data in found if data is not None)
        return found


async def long_conversation(states, count, size_bytes):
    """Responses of which each continues all before it, and says it has this many bytes."""
    desk, names = Desk(states, Responses()), []
    for number in range(count):
        name = f"resp_{number}"
        items = [msgspec.Raw(b'{"role":"user","content":"%d"}' % number)]
        response = json.dumps({"id": name, "status": "completed"}).encode()
        sizes = [size_bytes] * number
        made = Made(response=response, account="", input=items, before=[*names], sizes=sizes, wanted=True)
        assert await desk.keep("a", made) == ""
        names.append(name)
    states.read_bytes = 0
    return desk, names[-1]


@pytest.mark.parametrize("newest_first", [True, False], ids=["desc", "asc"])
async def test_only_what_a_page_takes_is_read(newest_first):
    states = Counting(ManualClock(), 1 << 20)
    desk, last = await long_conversation(states, 40, 2 << 20)
    page = Page(limit=3, newest_first=newest_first)
    found = json.loads(await input_items(desk, "a", last, page))
    texts = [item["content"][0]["text"] for item in found["data"]]
    assert (texts, found["has_more"]) == (["39", "38", "37"] if newest_first else ["0", "1", "2"], True)
    assert len({item["id"] for item in found["data"]}) == 3
    assert states.read_bytes < 10 * 600
    page = Page(limit=2, newest_first=newest_first, after=found["last_id"])
    after = json.loads(await input_items(desk, "a", last, page))
    expected = ["36", "35"] if newest_first else ["3", "4"]
    assert [item["content"][0]["text"] for item in after["data"]] == expected


async def test_a_page_far_inside_a_huge_conversation_is_refused():
    states = Counting(ManualClock(), 1 << 20)
    desk, last = await long_conversation(states, 40, 2 << 20)
    with pytest.raises(InvalidRequest) as caught:
        await input_items(desk, "a", last, Page(after="msg_nowhere"))
    assert caught.value.param == "after"
    assert states.read_bytes < 30 * 600
