import pytest

from trunkline_gateway.dialects.canonical import Dialect, Function, Message, Request, Role, ToolChoice, ToolMode
from trunkline_gateway.dialects.tool_choice import Offer, offer_of
from trunkline_kit.errors import InvalidRequest

F, G = Function(name="f"), Function(name="g")


def offer(choice, tools=(F, G)):
    messages = (Message(role=Role.USER),)
    return offer_of(Request(dialect=Dialect.CHAT, model="m", messages=messages, tools=tools, tool_choice=choice))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, Offer(tools=(F, G))),
        (ToolChoice(mode=ToolMode.AUTO), Offer(tools=(F, G), mode=ToolMode.AUTO)),
        (ToolChoice(mode=ToolMode.REQUIRED, allowed=("g",)), Offer(tools=(G,), mode=ToolMode.REQUIRED)),
        (ToolChoice(mode=ToolMode.NAMED, name="f"), Offer(tools=(F, G), mode=ToolMode.NAMED, name="f")),
    ],
)
def test_offers(choice, expected):
    assert offer(choice) == expected


def test_a_choice_among_nothing():
    for mode in (ToolMode.AUTO, ToolMode.NONE):
        assert offer(ToolChoice(mode=mode), ()) == Offer()
    for choice in (ToolChoice(mode=ToolMode.REQUIRED), ToolChoice(mode=ToolMode.NAMED, name="f")):
        with pytest.raises(InvalidRequest) as refused:
            offer(choice, ())
        assert refused.value.param == "tool_choice"
    with pytest.raises(InvalidRequest):
        offer(ToolChoice(mode=ToolMode.NAMED, name="h"))
