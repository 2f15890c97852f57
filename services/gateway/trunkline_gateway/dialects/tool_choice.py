"""A choice of tools for protocols that can only be told which tools there are, and whether one must be called. Pure."""

import msgspec

from trunkline_gateway.dialects.canonical import Function, Request, ToolMode
from trunkline_kit.errors import InvalidRequest


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """The tools that are left, and the choice among them."""

    tools: tuple[Function, ...] = ()
    mode: ToolMode | None = None
    name: str = ""
    """With NAMED."""


def offer_of(request: Request) -> Offer:
    """Tools that must not be called are not offered. Raises InvalidRequest for a choice among nothing."""
    choice = request.tool_choice
    tools = tuple([tool for tool in request.tools if isinstance(tool, Function)])
    if choice is None:
        return Offer(tools=tools)
    if choice.allowed:
        tools = tuple([tool for tool in tools if tool.name in choice.allowed])
    names = {tool.name for tool in tools}
    wants_one = choice.mode in (ToolMode.REQUIRED, ToolMode.NAMED)
    if wants_one and (not tools or (choice.mode is ToolMode.NAMED and choice.name not in names)):
        raise InvalidRequest("tool_choice asks for a tool that is not among the tools", param="tool_choice")
    return Offer(tools=tools, mode=choice.mode if tools else None, name=choice.name)
