"""One request to make a response, from what it continues to what is kept of it."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway import body as bodies
from trunkline_gateway.auth import Principal
from trunkline_gateway.body_room import BodyRoom
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import Call
from trunkline_gateway.providers.translation import Translation
from trunkline_gateway.responses.desk import Desk, Made
from trunkline_gateway.responses.exchange import Exchange
from trunkline_gateway.responses.records import owner_of, response_in
from trunkline_gateway.responses.references import REFERENCES_MAX
from trunkline_gateway.responses.states import MemoryStates
from trunkline_gateway.sse import SseParser
from trunkline_gateway.surface import CONTROL_DECODERS, Surface
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import (
    BodyTooLarge,
    InvalidRequest,
    Overloaded,
    ResponseNotFound,
    StoreUnavailable,
    UpstreamError,
)
from trunkline_kit.settings import Responses

ME = Principal(key_id="k")
UP = Target("m", "up", "real")


class Written:
    """A sink that remembers."""

    def __init__(self):
        self.said = []

    async def whole(self, body, headers):
        self.said.append(("whole", body, dict(headers)))

    async def open(self, headers):
        self.said.append(("open", dict(headers)))

    async def events(self, chunks):
        self.said.append(("events", b"".join(chunks)))

    async def done(self):
        self.said.append(("done",))

    async def broken(self, error):
        self.said.append(("broken", error))


@pytest.fixture
def desk():
    return Desk(MemoryStates(ManualClock(), 1 << 20), Responses())


def exchange_of(desk):
    turn = Turn(surface=Surface.RESPONSES, principal=ME, request_id="r", traceparent="", started_s=0.0, target=UP)
    return Exchange(desk, turn, Written()), turn


def call_of(answer_id="resp_ours", **asked):
    body = json.dumps({"model": "m", "input": "hi", **asked}).encode()
    control = bodies.decode(body, CONTROL_DECODERS[Surface.RESPONSES])
    return Call(surface=Surface.RESPONSES, body=body, control=control, request_id="r", answer_id=answer_id)


async def answered(desk, call, response, accounts=frozenset(), sent=None):
    """One exchange from its beginning to its end: the call that providers get, and what its caller gets."""
    exchange, turn = exchange_of(desk)
    prepared = await exchange.prepare(call, accounts)
    turn.sent = sent or prepared.body
    await exchange.whole(json.dumps({"status": "completed", "output": [], **response}).encode(), [])
    return prepared, exchange._sink.said[-1]


def message(text, name):
    return {"type": "message", "id": name, "role": "assistant", "content": [{"type": "output_text", "text": text}]}


async def test_a_request_that_continues_nothing_goes_on_as_it_came(desk):
    call = call_of(input=[{"role": "user", "content": "hi"}])
    prepared, said = await answered(desk, call, {"id": "resp_ours"})
    assert prepared.body is call.body
    assert prepared.only is None
    assert said[2] == {}


async def test_what_is_kept_is_what_was_sent_not_what_was_asked(desk):
    redacted = b'{"model":"m","input":[{"role":"user","content":"[redacted]"}]}'
    await answered(desk, call_of(input="my secret"), {"id": "resp_ours"}, sent=redacted)
    record = await desk.find(owner_of(ME), "resp_ours")
    assert [json.loads(bytes(item))["content"] for item in record.input] == ["[redacted]"]


async def test_only_its_own_items_are_kept_with_each(desk):
    await answered(desk, call_of("resp_1"), {"id": "resp_1", "output": [message("yo", "msg_1")]})
    prepared, _ = await answered(desk, call_of("resp_2", previous_response_id="resp_1"), {"id": "resp_2"})
    assert len(prepared.control.input) == 3
    assert prepared.continues == "resp_1"
    record = await desk.find(owner_of(ME), "resp_2")
    assert (len(record.input), record.before, record.account) == (1, ["resp_1"], "")


async def test_an_answer_with_a_name_of_its_own_is_its_accounts(desk):
    await answered(desk, call_of(), {"id": "resp_theirs"})
    assert (await desk.find(owner_of(ME), "resp_theirs")).account == "up"
    more = call_of(previous_response_id="resp_theirs")
    there, _ = await answered(desk, more, {"id": "resp_theirs2"}, frozenset({"up", "spare"}))
    assert (there.only, there.body) == ("up", more.body)
    elsewhere, _ = await answered(desk, more, {"id": "resp_ours"}, frozenset({"spare"}))
    assert (elsewhere.only, len(elsewhere.control.input)) == (None, 2)


async def test_a_conversation_that_left_an_account_does_not_go_back_by_name(desk):
    await answered(desk, call_of(), {"id": "resp_theirs"})
    await answered(desk, call_of(previous_response_id="resp_theirs"), {"id": "resp_ours"})
    back, _ = await answered(desk, call_of(previous_response_id="resp_ours"), {"id": "resp_3"}, frozenset({"up"}))
    assert (back.only, len(back.control.input), back.control.previous_response_id) == (None, 3, None)


async def test_ciphers_lead_to_who_wrote_them(desk):
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    await answered(desk, call_of(store=False), {"id": "resp_theirs", "output": [thought]})
    call = call_of(input=[thought], store=False)
    assert (await exchange_of(desk)[0].prepare(call, frozenset({"up", "spare"}))).only == "up"
    assert (await exchange_of(desk)[0].prepare(call, frozenset({"spare"}))).only is None


async def test_what_is_not_there_is_refused_by_name(desk):
    with pytest.raises(ResponseNotFound) as caught:
        await exchange_of(desk)[0].prepare(call_of(previous_response_id="resp_9"), frozenset())
    assert caught.value.param == "previous_response_id"
    unknown = [{"role": "user", "content": "x"}, {"type": "item_reference", "id": "msg_9"}]
    with pytest.raises(InvalidRequest) as missed:
        await exchange_of(desk)[0].prepare(call_of(input=unknown), frozenset())
    assert missed.value.param == "input[1].id"


OTHERS = [
    {"id": "msg_theirs"},
    {"type": None, "id": "msg_theirs"},
    {"type": "item_reference", "id": "msg_theirs"},
    {"type": "reasoning", "id": "msg_theirs", "summary": []},
]


async def given_to(desk, team, *output, name="resp_x", account="up"):
    """Keep an answer of this team's."""
    owner = owner_of(Principal(key_id="k", team=team))
    response = json.dumps({"id": name, "status": "completed", "output": output}).encode()
    made = Made(response=response, account=account, input=[], before=[], sizes=[], wanted=True)
    assert await desk.keep(owner, made) == ""


@pytest.mark.parametrize("item", OTHERS, ids=str)
@pytest.mark.parametrize("accounts", [frozenset(), frozenset({"up"})], ids=["anybody", "native"])
async def test_what_another_team_was_given_is_not_there(desk, item, accounts):
    await given_to(desk, "other", message("secret", "msg_theirs"))
    with pytest.raises(InvalidRequest) as caught:
        await exchange_of(desk)[0].prepare(call_of(input=[{"role": "user", "content": "x"}, item]), accounts)
    assert caught.value.param == "input[1].id"


@pytest.mark.parametrize("item", OTHERS[:3], ids=str)
async def test_every_way_to_refer_to_an_item_of_ones_own_works(desk, item):
    await given_to(desk, ME.team, message("mine", "msg_theirs"))
    native = await exchange_of(desk)[0].prepare(call_of(input=[item]), frozenset({"up"}))
    assert (native.only, json.loads(native.body)["input"]) == ("up", [item])
    elsewhere = await exchange_of(desk)[0].prepare(call_of(input=[item]), frozenset({"spare"}))
    (sent,) = json.loads(elsewhere.body)["input"]
    assert (elsewhere.only, sent["content"][0]["text"], "id" in sent) == (None, "mine", False)


async def test_a_thought_that_only_its_account_can_read_goes_nowhere_else(desk):
    await given_to(desk, ME.team, {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"})
    asked = [{"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "user", "content": "x"}]
    native = await exchange_of(desk)[0].prepare(call_of(input=asked), frozenset({"up"}))
    assert (native.only, json.loads(native.body)["input"]) == ("up", asked)
    elsewhere = await exchange_of(desk)[0].prepare(call_of(input=asked), frozenset({"spare"}))
    assert json.loads(elsewhere.body)["input"] == asked[1:]


async def test_no_id_goes_out_that_the_team_was_not_given(desk):
    await given_to(desk, ME.team, message("mine", "msg_mine"))
    await given_to(desk, "other", message("secret", "msg_theirs"), name="resp_y")
    asked = [message("a", "msg_mine"), message("b", "msg_theirs"), message("c", "msg_made_up")]
    prepared = await exchange_of(desk)[0].prepare(call_of(input=asked), frozenset({"up"}))
    sent = json.loads(prepared.body)["input"]
    assert [item.get("id") for item in sent] == ["msg_mine", None, None]
    assert [item["content"] for item in sent] == [item["content"] for item in asked]


async def test_a_stateless_client_keeps_the_ids_that_it_was_given(desk):
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    await answered(desk, call_of(store=False), {"id": "resp_theirs", "output": [thought]})
    prepared = await exchange_of(desk)[0].prepare(call_of(input=[thought], store=False), frozenset({"up"}))
    assert json.loads(prepared.body)["input"] == [thought]


async def test_references_are_few_enough_to_look_up_and_their_items_fit(desk):
    await given_to(desk, ME.team, message("a" * 100_000, "msg_1"), account="")
    reference = {"id": "msg_1"}
    with pytest.raises(InvalidRequest) as many:
        await exchange_of(desk)[0].prepare(call_of(input=[reference] * (REFERENCES_MAX + 1)), frozenset())
    with pytest.raises(BodyTooLarge) as large:
        await exchange_of(desk)[0].prepare(call_of(input=[reference] * 400), frozenset())
    assert (many.value.param, large.value.param) == ("input", "input")
    few = await exchange_of(desk)[0].prepare(call_of(input=[reference] * 3), frozenset())
    assert [len(item["content"][0]["text"]) for item in json.loads(few.body)["input"]] == [100_000] * 3


async def test_what_is_put_in_front_takes_room(desk):
    await answered(desk, call_of("resp_1", input="a" * 50_000), {"id": "resp_1"})
    exchange, turn = exchange_of(desk)
    turn.held = BodyRoom(1 << 20).held()
    prepared = await exchange.prepare(call_of(previous_response_id="resp_1"), frozenset())
    assert turn.held.size_bytes >= len(prepared.body) > 50_000
    full, turn = exchange_of(desk)
    room = BodyRoom(40_000)
    room.held().grow(10)
    turn.held = room.held()
    with pytest.raises(Overloaded):
        await full.prepare(call_of(previous_response_id="resp_1"), frozenset())


async def test_without_the_store_ids_go_nowhere_and_references_wait(desk):
    class Down(MemoryStates):
        async def get(self, owner, names):
            raise StoreUnavailable("away")

    away = Desk(Down(ManualClock(), 1), Responses())
    prepared = await exchange_of(away)[0].prepare(call_of(input=[message("a", "msg_1")]), frozenset({"up"}))
    assert "id" not in json.loads(prepared.body)["input"][0]
    with pytest.raises(StoreUnavailable):
        await exchange_of(away)[0].prepare(call_of(input=[{"id": "msg_1"}]), frozenset({"up"}))


async def test_a_stream_is_kept_before_its_last_event_is_sent(desk):
    exchange, turn = exchange_of(desk)
    turn.sent = (await exchange.prepare(call_of(), frozenset())).body
    await exchange.open([("x-a", "b")])
    await exchange.events([b'event: response.created\ndata: {"response":{"id":"resp_ours"}}\n\n'])
    with pytest.raises(Exception, match="not found"):
        await desk.find(owner_of(ME), "resp_ours")
    last = {"response": {"id": "resp_ours", "status": "completed", "output": []}}
    await exchange.events([b"event: response.completed\ndata: %b\n\n" % json.dumps(last).encode()])
    assert bytes((await desk.find(owner_of(ME), "resp_ours")).response) == json.dumps(last["response"]).encode()
    await exchange.done()
    await exchange.broken(UpstreamError("x"))
    assert [what for what, *_ in exchange._sink.said] == ["open", "events", "events", "done", "broken"]


texts = st.lists(st.text(min_size=1), min_size=1, max_size=4)


@given(texts, st.sampled_from(["stop", "length"]), st.booleans(), st.sampled_from(["", "resp_1"]))
def test_the_last_event_of_a_stream_has_the_whole_answer(pieces, finish, asks_tools, continues):
    head = {"id": "c", "created": 1, "model": "real"}
    tools = [{"type": "function", "name": "f", "parameters": {}}] if asks_tools else []
    call = msgspec.structs.replace(call_of(tools=tools, metadata={"a": "b"}), continues=continues)
    used = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"index": 0, "message": {"role": "assistant", "content": "".join(pieces)}, "finish_reason": finish}
    whole = Translation(call, "openai", 1).answer(
        json.dumps({**head, "choices": [choice], "usage": used}).encode(), "up"
    )
    stream = Translation(call, "openai", 1).stream()
    deltas = [({"content": piece}, None) for piece in pieces] + [({}, finish)]
    datas = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in deltas]
    chunks = [*stream.feed([json.dumps(one).encode() for one in (*datas, {**head, "choices": [], "usage": used})])]
    events = SseParser().feed(b"".join(chunk.data for chunk in [*chunks, *stream.close()]))
    assert json.loads(bytes(response_in(events[-1]))) == json.loads(whole.body)
    assert json.loads(whole.body)["previous_response_id"] == (continues or None)
    assert [json.loads(event)["sequence_number"] for event in events] == [*range(len(events))]
