"""What is kept of responses, for whom, and what is said where that fails."""

import json
import random

import msgspec
import pytest

from trunkline_gateway.responses.desk import CHAIN_MAX, STORE_DOWN, TOO_LARGE, Desk, Made
from trunkline_gateway.responses.states import MemoryStates
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import InvalidRequest, ObjectNotFound, ResponseNotFound, StoreUnavailable
from trunkline_kit.settings import Responses

DAY_S = 86_400.0


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def desk(clock):
    return Desk(MemoryStates(clock, 1 << 20), Responses(ttl_s=DAY_S, max_bytes=64 * 1024))


def made(name="resp_1", *, before=(), account="", wanted=True, output=(), **rest):
    response = {"id": name, "status": "completed", "output": list(output), **rest}
    return Made(
        response=json.dumps(response).encode(),
        account=account,
        input=[msgspec.Raw(b'{"role":"user","content":"hi"}')],
        before=list(before),
        wanted=wanted,
    )


async def test_what_is_kept_is_found_by_its_owner_only(desk):
    assert await desk.keep("a", made()) == ""
    assert json.loads(bytes((await desk.find("a", "resp_1")).response))["id"] == "resp_1"
    with pytest.raises(ObjectNotFound):
        await desk.find("b", "resp_1")
    with pytest.raises(ResponseNotFound):
        await desk.previous("b", "resp_1")


@pytest.mark.parametrize("rest", [{"wanted": False}, {"status": "failed"}, {"status": "in_progress"}], ids=str)
async def test_what_is_not_wanted_or_not_complete_is_not_kept(desk, rest):
    assert await desk.keep("a", made(**rest)) == ""
    with pytest.raises(ObjectNotFound):
        await desk.find("a", "resp_1")


async def test_a_conversation_is_kept_as_long_as_it_goes_on(desk, clock):
    await desk.keep("a", made("resp_1"))
    clock.advance(DAY_S * 0.9)
    await desk.keep("a", made("resp_2", before=["resp_1"]))
    clock.advance(DAY_S * 0.9)
    last = await desk.previous("a", "resp_2")
    assert [json.loads(bytes(one.response))["id"] for one in await desk.before("a", last)] == ["resp_1"]


async def test_one_whose_beginning_is_gone_cannot_be_continued(desk):
    await desk.keep("a", made("resp_1"))
    await desk.keep("a", made("resp_2", before=["resp_1"]))
    await desk.forget("a", "resp_1")
    last = await desk.previous("a", "resp_2")
    with pytest.raises(ResponseNotFound, match="resp_1"):
        await desk.before("a", last)
    assert await desk.left_of("a", last) == []
    with pytest.raises(ObjectNotFound):
        await desk.forget("a", "resp_1")


async def test_a_conversation_has_an_end(desk):
    await desk.keep("a", made("resp_x", before=[f"resp_{number}" for number in range(CHAIN_MAX)]))
    with pytest.raises(InvalidRequest, match="begin another"):
        await desk.previous("a", "resp_x")


async def test_items_lead_to_their_response_until_it_is_forgotten(desk):
    await desk.keep("a", made(output=[{"type": "message", "id": "msg_1"}]))
    found = await desk.with_items("a", ["msg_1", "msg_2"])
    assert [*found] == ["msg_1"]
    assert await desk.with_items("b", ["msg_1"]) == {}
    await desk.forget("a", "resp_1")
    assert await desk.with_items("a", ["msg_1"]) == {}


async def test_who_wrote_a_cipher_is_known_though_nothing_else_is_kept(desk):
    thought = {"type": "reasoning", "encrypted_content": "gAAA"}
    await desk.keep("a", made(wanted=False, account="up", output=[thought]))
    assert await desk.authors("a", ["gAAA", "other"]) == ["up"]
    assert await desk.authors("b", ["gAAA"]) == []


@pytest.mark.parametrize("kibibytes", [100, 200], ids=["packed here", "packed in a thread"])
async def test_what_is_too_large_is_not_kept_and_that_is_said(desk, kibibytes):
    text = random.Random(1).randbytes(kibibytes * 1024).hex()
    assert await desk.keep("a", made(text=text)) == TOO_LARGE
    with pytest.raises(ObjectNotFound):
        await desk.find("a", "resp_1")


async def test_what_is_large_comes_back(clock):
    desk = Desk(MemoryStates(clock, 1 << 22), Responses())
    text = random.Random(1).randbytes(200 * 1024).hex()
    assert await desk.keep("a", made(text=text)) == ""
    assert json.loads(bytes((await desk.find("a", "resp_1")).response))["text"] == text


class Down:
    """A store that is away."""

    async def put(self, owner, entries, ttl_s, used=()):
        raise StoreUnavailable("away")

    async def get(self, owner, names):
        raise StoreUnavailable("away")

    async def delete(self, owner, names):
        raise StoreUnavailable("away")

    async def check(self):
        raise StoreUnavailable("away")


async def test_a_store_that_is_down_costs_what_is_kept_and_nothing_else():
    desk = Desk(Down(), Responses())
    assert await desk.check() == STORE_DOWN
    assert await desk.keep("a", made()) == STORE_DOWN
    assert await desk.keep("a", made(wanted=False)) == ""
    assert await desk.authors("a", ["gAAA"]) == []
    for ask in (desk.find, desk.previous, desk.forget):
        with pytest.raises(StoreUnavailable):
            await ask("a", "resp_1")
