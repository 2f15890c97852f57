"""One request to make a response, from what it continues to what is kept of it."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway import body as bodies
from trunkline_gateway.auth import Principal
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import Call
from trunkline_gateway.providers.translation import Translation
from trunkline_gateway.responses.desk import Desk
from trunkline_gateway.responses.exchange import Exchange
from trunkline_gateway.responses.records import owner_of, response_in
from trunkline_gateway.responses.states import MemoryStates
from trunkline_gateway.sse import SseParser
from trunkline_gateway.surface import CONTROL_DECODERS, Surface
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import InvalidRequest, ResponseNotFound, UpstreamError
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
