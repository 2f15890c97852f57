"""Which requests belong together."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway import body as bodies
from trunkline_gateway.fleet.conversation import conversation_of, prefix_of
from trunkline_gateway.providers.base import Call
from trunkline_gateway.responses.conversation import items_of
from trunkline_gateway.surface import CONTROL_DECODERS, Surface

texts = st.text(min_size=1, max_size=20)
turns = st.lists(st.tuples(st.sampled_from(["assistant", "user", "tool"]), texts), max_size=4)


def call(*messages, salt=b"acme/search", surface=Surface.CHAT, **rest):
    told = [{"role": role, "content": text} for role, text in messages]
    body = msgspec.json.encode({"model": "m", "messages": told, "prompt": "p", "input": "i", **rest})
    return Call(
        surface=surface, body=body, control=CONTROL_DECODERS[surface].decode(body), request_id="r", cache_salt=salt
    )


@given(texts, texts, turns)
def test_a_conversation_keeps_its_key_over_all_its_turns(system, first, more):
    begins = (("system", system), ("user", first))
    assert conversation_of(call(*begins)) == conversation_of(call(*begins, *more)) != b""
    assert prefix_of(call(*begins)) == prefix_of(call(*begins, *more)) != b""


@given(texts, texts)
def test_conversations_that_begin_otherwise_are_others(one, other):
    assert (conversation_of(call(("user", one))) == conversation_of(call(("user", other)))) == (one == other)


def test_tenants_and_users_never_share_a_conversation():
    keys = {
        conversation_of(call(("user", "hi"))),
        conversation_of(call(("user", "hi"), salt=b"other")),
        conversation_of(call(("user", "hi"), user="ann")),
    }
    assert len(keys) == 3


def test_long_instructions_alone_decide_where_prefixes_go():
    manual = ("system", "always be brief " * 100)
    assert prefix_of(call(manual, ("user", "one"))) == prefix_of(call(manual, ("user", "two")))
    assert conversation_of(call(manual, ("user", "one"))) != conversation_of(call(manual, ("user", "two")))


def test_callers_may_say_what_belongs_together():
    keys = {find(call(("user", text), prompt_cache_key="a")) for text in "xy" for find in (prefix_of, conversation_of)}
    assert len(keys) == 1
    assert prefix_of(call(("user", "x"), prompt_cache_key="b")) not in keys


def test_other_surfaces():
    assert prefix_of(call(surface=Surface.COMPLETION)) != b""
    assert prefix_of(call(surface=Surface.EMBEDDING)) == conversation_of(call(surface=Surface.EMBEDDING)) == b""


def test_messages_without_a_beginning():
    assert conversation_of(call(("system", "only instructions"))) == b""
    assert prefix_of(call(("system", "only instructions"))) != b""
    assert conversation_of(call(*[("system", "s")] * 20)) == b""


@given(texts, texts)
def test_a_response_and_what_continues_it_are_one_conversation(first, more):
    def asked(given, **rest):
        body = msgspec.json.encode({"model": "m", "input": given, **rest})
        control = CONTROL_DECODERS[Surface.RESPONSES].decode(body)
        return Call(surface=Surface.RESPONSES, body=body, control=control, request_id="r", cache_salt=b"t")

    began = asked(first, instructions="be brief")
    items = items_of(bodies.members_of(began.body))
    went_on = asked([*items, {"role": "user", "content": more}], instructions="be brief")
    assert conversation_of(began) == conversation_of(went_on) != b""
    assert prefix_of(began) == prefix_of(went_on)
    assert conversation_of(asked(first, prompt_cache_key="a")) == conversation_of(asked(more, prompt_cache_key="a"))
