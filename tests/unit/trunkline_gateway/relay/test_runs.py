"""Runs of chunks say the same as the chunks they stand for, whatever those are."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.relay.assembly import whole
from trunkline_gateway.relay.runs import compacted

encode = msgspec.json.encode
texts = st.text(max_size=6) | st.sampled_from(['"', "\\", '\\"', '","x":"', "}", '"}', "\n", "é👋", '{"content":"'])


def chunk(delta, **rest):
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **rest}
    return {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


deltas = st.one_of(
    texts.map(lambda text: {"content": text}),
    texts.map(lambda text: {"content": text, "refusal": None}),
    texts.map(lambda text: {"role": "assistant", "content": text}),
    texts.map(lambda text: {"content": text, "reasoning_content": text}),
    texts.map(lambda text: {"reasoning_content": text}),
    st.just({}),
)
chunks = st.builds(
    lambda delta, index, finish, top: {**chunk(delta, index=index, finish_reason=finish), **top},
    deltas,
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from([None, None, None, "stop"]),
    st.sampled_from([{}, {}, {"created": 2}, {"obfuscation": "xyz"}, {"usage": None}, {"usage": {"prompt_tokens": 1}}]),
)


@given(st.lists(chunks, max_size=30))
def test_the_answer_is_the_same(given_chunks):
    datas = [encode(one) for one in given_chunks]
    assert whole(compacted(datas)) == whole(datas)


@given(st.lists(texts, min_size=1, max_size=40))
def test_text_is_joined_into_few_chunks(given_texts):
    datas = [encode(chunk({"content": text})) for text in given_texts]
    compact = compacted(datas)
    joined = "".join(msgspec.json.decode(data)["choices"][0]["delta"]["content"] for data in compact)
    assert joined == "".join(given_texts)
    plain = sum('"' not in text and "\\" not in text and text.isprintable() for text in given_texts)
    assert len(compact) <= 1 + 2 * (len(given_texts) - plain) or plain == 0


@pytest.mark.parametrize("space", [b"", b" "])
def test_spaces_between_members_do_not_matter(space):
    datas = [b'{"choices":[{"delta":%b{"content":%b"%b"}}]}' % (space, space, text) for text in (b"a", b"b", b"c")]
    assert compacted(datas) == [datas[0].replace(b'"a"', b'"abc"')]


def test_halves_of_a_character_find_each_other():
    halves = [b'{"choices":[{"delta":{"content":"%b"}}]}' % half for half in (rb"\ud83d", rb"\ude00")]
    assert msgspec.json.decode(compacted(halves)[0])["choices"][0]["delta"]["content"] == "😀"


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_what_is_no_chunk_is_left_as_it_is(datas):
    assert b"".join(compacted(datas)) == b"".join(datas)
