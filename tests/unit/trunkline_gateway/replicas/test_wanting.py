"""What of a request decides where it goes."""

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_gateway.replicas.wanting import wanted_of, wanted_texts

LONG = "word " * 400


def chat(text, **fields):
    return pb.GenerateRequest(messages_json=b'[{"role":"system","content":"%b"}]' % text.encode(), **fields)


def shared(one, other):
    chains = wanted_of(one, 0.25).chain, wanted_of(other, 0.25).chain
    return sum(a == b for a, b in zip(*chains, strict=False))


def test_tokens_are_estimated_by_bytes_and_counted_where_they_are_given():
    assert wanted_of(pb.GenerateRequest(text="x" * 100), 0.25).tokens == 25.0
    assert wanted_of(chat("", tools_json=b"y" * 68), 0.5).tokens == 50.0
    counted = wanted_of(pb.GenerateRequest(tokens=pb.TokenIds(ids=range(100)), cache_salt=b"t"), 0.25)
    assert (counted.tokens, counted.prompt_bytes, len(counted.chain)) == (100.0, 400, 1)
    assert wanted_texts(pb.EmbedRequest(texts=["ab", "cd"]), 0.25).tokens == 1.0


def test_what_begins_alike_shares_its_beginning_within_a_tenant_and_with_the_same_tools():
    mine = chat(LONG + "a", cache_salt=b"me")
    assert shared(mine, chat(LONG + "b", cache_salt=b"me")) == 7
    assert shared(mine, chat(LONG + "a", cache_salt=b"you")) == 0
    assert shared(mine, chat(LONG + "a", cache_salt=b"me", tools_json=b"[1]")) == 0
    assert shared(mine, pb.GenerateRequest(text=mine.messages_json.decode(), cache_salt=b"me")) == 0
    assert wanted_of(chat(LONG), 0.25).chain == ()


def test_the_key_for_hashing_is_of_the_beginning():
    keys = {wanted_of(chat(text), 0.25).key for text in (LONG + "a", LONG + "b")}
    assert len(keys) == 1
    assert wanted_of(chat(LONG, cache_salt=b"me"), 0.25).key not in keys
