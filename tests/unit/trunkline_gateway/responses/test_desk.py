"""What is kept of responses, for whom, and what is said where that fails."""

import json
import random

import msgspec
import pytest

from trunkline_gateway.responses.desk import (
    CHAIN_MAX,
    CONVERSATION_BYTES_MAX,
    STORE_DOWN,
    TOO_LARGE,
    Desk,
    Made,
    batches_of,
)
from trunkline_gateway.responses.records import Place, Record
from trunkline_gateway.responses.states import MemoryStates
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import BodyTooLarge, InvalidRequest, ObjectNotFound, ResponseNotFound, StoreUnavailable
from trunkline_kit.settings import Responses

DAY_S = 86_400.0


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def desk(clock):
    return Desk(MemoryStates(clock, 1 << 20), Responses(ttl_s=DAY_S, max_bytes=64 * 1024))


def made(name="resp_1", *, before=(), sizes=(), account="", wanted=True, output=(), **rest):
    response = {"id": name, "status": "completed", "output": list(output), **rest}
    return Made(
        response=json.dumps(response).encode(),
        account=account,
        input=[msgspec.Raw(b'{"role":"user","content":"hi"}')],
        before=list(before),
        sizes=list(sizes or [100] * len(before)),
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
    (batch,) = batches_of(last, newest_first=True)
    assert await desk.left_of("a", batch) == []
    with pytest.raises(ObjectNotFound):
        await desk.forget("a", "resp_1")


async def test_a_conversation_has_an_end(desk):
    await desk.keep("a", made("resp_x", before=[f"resp_{number}" for number in range(CHAIN_MAX)]))
    with pytest.raises(InvalidRequest, match="begin another"):
        await desk.previous("a", "resp_x")


async def test_items_lead_to_their_response_until_it_is_forgotten(desk):
    await desk.keep("a", made(output=[{"type": "message", "id": "msg_1"}]))
    places = await desk.places("a", ["msg_1", "msg_2"])
    assert [*places] == ["msg_1"]
    assert [*await desk.items("a", places)] == ["msg_1"]
    assert await desk.items("b", places) == {}
    assert await desk.places("b", ["msg_1"]) == {}
    await desk.forget("a", "resp_1")
    assert await desk.places("a", ["msg_1"]) == {}


class Counting(MemoryStates):
    """Remembers what was asked for."""

    asked = 0

    async def get(self, owner, names):
        self.asked += len(names)
        return await super().get(owner, names)


async def test_a_response_is_read_once_for_all_of_its_items(clock):
    states = Counting(clock, 1 << 20)
    desk = Desk(states, Responses())
    output = [{"type": "message", "id": f"msg_{number}", "content": str(number)} for number in range(50)]
    await desk.keep("a", made(output=output))
    places = await desk.places("a", [item["id"] for item in output])
    states.asked = 0
    found = await desk.items("a", places)
    assert states.asked == 1
    assert [json.loads(bytes(found[item["id"]].item)) for item in output] == output


async def test_more_than_a_request_may_read_is_not_read_at_all(clock):
    states = Counting(clock, 1 << 20)
    desk = Desk(states, Responses())
    half = CONVERSATION_BYTES_MAX // 2
    last = Record(response=msgspec.Raw(b"{}"), before=["resp_1", "resp_2"], sizes=[half, half])
    with pytest.raises(BodyTooLarge) as chain:
        await desk.before("a", last)
    places = {f"msg_{number}": Place(half, f"resp_{number}") for number in range(3)}
    with pytest.raises(BodyTooLarge) as items:
        await desk.items("a", places)
    assert (chain.value.param, items.value.param) == ("previous_response_id", "input")
    assert states.asked == 0


def test_a_conversation_is_read_in_batches_by_what_they_take_unpacked():
    names, sizes = [f"resp_{number}" for number in range(200)], [100_000] * 100 + [10 << 20] * 2 + [10] * 98
    last = Record(response=msgspec.Raw(b"{}"), before=names, sizes=sizes)
    for newest_first in (False, True):
        batches = batches_of(last, newest_first=newest_first)
        read = [name for batch in batches for name in batch.response_ids]
        assert read == (names[::-1] if newest_first else names)
        assert all(batch.size_bytes <= 4 << 20 or len(batch.response_ids) == 1 for batch in batches)
        assert max(len(batch.response_ids) for batch in batches) <= 64


async def test_ids_of_an_account_are_known_though_nothing_else_is_kept(desk):
    await desk.keep("a", made(wanted=False, account="up", output=[{"type": "message", "id": "msg_1"}]))
    places = await desk.places("a", ["msg_1"])
    assert [*places] == ["msg_1"]
    assert await desk.items("a", places) == {}
    await desk.keep("a", made(wanted=False, output=[{"type": "message", "id": "msg_ours"}]))
    assert await desk.places("a", ["msg_ours"]) == {}


async def test_who_wrote_a_cipher_is_known_though_nothing_else_is_kept(desk):
    thought = {"type": "reasoning", "encrypted_content": "gAAA"}
    await desk.keep("a", made(wanted=False, account="up", output=[thought]))
    assert await desk.authors("a", ["gAAA", "other"]) == ["up"]
    assert await desk.authors("b", ["gAAA"]) == []


@pytest.mark.parametrize("text", [random.Random(1).randbytes(100 * 1024).hex(), "a" * 65_537], ids=["hex", "aaa"])
async def test_what_is_too_large_is_not_kept_however_small_it_packs(desk, text):
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
