import pytest

from trunkline_kit.errors import InvalidRequest, Unsupported
from trunkline_worker.chat import decode_messages


def test_text_in_all_its_shapes():
    body = b'[{"role":"system","content":"s"},'
    body += b'{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},'
    body += b'{"role":"assistant","content":null,"x":1}]'
    assert [(message.role, message.content) for message in decode_messages(body)] == [
        ("system", "s"),
        ("user", "ab"),
        ("assistant", ""),
    ]


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (b"[]", InvalidRequest, "empty"),
        (b"{", InvalidRequest, "cannot be read"),
        (b'[{"content":"x"}]', InvalidRequest, "role"),
        (b'[{"role":"user","content":[{"type":"image_url"}]}]', Unsupported, "image_url"),
    ],
)
def test_what_cannot_be_read_is_refused(body, error, text):
    with pytest.raises(error, match=text) as refused:
        decode_messages(body)
    assert refused.value.param == "messages"


def test_a_role_nobody_has_is_refused_by_place():
    with pytest.raises(InvalidRequest, match="'bob' is none of") as caught:
        decode_messages(b'[{"role":"user","content":"a"},{"role":"bob","content":"b"}]')
    assert caught.value.param == "messages[1].role"
