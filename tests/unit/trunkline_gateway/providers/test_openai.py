"""When a whole answer may be asked for as a stream."""

import msgspec
import pytest

from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import AttemptFailed, Call
from trunkline_gateway.providers.openai import OpenAICompatible, can_assemble
from trunkline_gateway.surface import CONTROL_DECODERS, Surface
from trunkline_kit.providers import Assemble

TOOLS = [{"type": "function"}]


def call(surface=Surface.CHAT, **more):
    body = msgspec.json.encode({"model": "m", "messages": [1], "prompt": "p", "input": "i", **more})
    return Call(surface=surface, body=body, control=CONTROL_DECODERS[surface].decode(body), request_id="r")


@pytest.mark.parametrize(
    ("more", "auto", "always"),
    [
        ({}, True, True),
        ({"n": 1, "tools": [], "audio": None}, True, True),
        ({"response_format": {"type": "json_object"}, "logprobs": True}, True, True),
        ({"n": 2}, False, True),
        ({"tools": TOOLS}, False, True),
        ({"functions": TOOLS}, False, True),
        ({"audio": {"voice": "x"}}, False, False),
        ({"surface": Surface.MESSAGES}, True, True),
        ({"surface": Surface.MESSAGES, "tools": TOOLS}, False, True),
        ({"surface": Surface.COMPLETION}, False, True),
        ({"surface": Surface.COMPLETION, "prompt": ["a", "b"]}, False, False),
        ({"surface": Surface.EMBEDDING}, False, False),
    ],
)
def test_only_where_nobody_sees_a_difference(more, auto, always):
    asked = call(**more)
    assert can_assemble(asked, always=False) is auto
    assert can_assemble(asked, always=True) is always
    for setting, expected in ((Assemble.AUTO, auto), (Assemble.ALWAYS, always), (Assemble.NEVER, False)):
        provider = OpenAICompatible(Named(), setting)
        assert provider.streams_whole(asked, Target("m", "up", "x")) is expected


class Named:
    name = "up"


async def test_an_account_without_an_endpoint_for_it_does_not_rerank():
    asked = call(surface=Surface.RERANK, query="q", documents=["a"])
    with pytest.raises(AttemptFailed) as caught:
        await OpenAICompatible(Named(), Assemble.NEVER).whole(asked, Target("m", "up", "x"), None)
    assert (caught.value.kind, caught.value.error.param) == (FailureKind.UNFIT, "model")
