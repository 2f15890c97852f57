"""From a method and a path to an operation. Pure."""

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

import msgspec

from trunkline_gateway.admin.operations import BASE, Route
from trunkline_kit.errors import MethodNotAllowed, RouteNotFound


class Match(msgspec.Struct, frozen=True):
    """A route, and what its path says."""

    route: Route
    path: Mapping[str, str]


class Table:
    """Routes by the segments of their paths; fixed segments go before parameters."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [(_segments(route.operation.path), route) for route in routes]

    def find(self, method: str, raw_path: str) -> Match:
        """`raw_path` is as it was sent, with its percent signs. Raises RouteNotFound, MethodNotAllowed."""
        given = raw_path.partition("?")[0].split("/")[1:]
        fitting = [(pattern, route) for pattern, route in self._routes if _fits(pattern, given)]
        if not fitting:
            raise RouteNotFound(f"there is nothing at {raw_path[:256]}; /openapi.json lists what there is")
        for pattern, route in fitting:
            if route.operation.method == method:
                return Match(route, _values(pattern, given))
        allowed = ", ".join(sorted({route.operation.method for _, route in fitting}))
        text = f"{raw_path[:256]} does not take {method}; it takes {allowed}"
        raise MethodNotAllowed(text, headers=(("allow", allowed),))


def _segments(path: str) -> list[str]:
    return f"{BASE}{path}".split("/")[1:]


def _is_parameter(part: str) -> bool:
    return part.startswith("{")


def _fits(pattern: Sequence[str], given: Sequence[str]) -> bool:
    if len(pattern) != len(given):
        return False
    return all(part == value or (_is_parameter(part) and value) for part, value in zip(pattern, given, strict=True))


def _values(pattern: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    pairs = zip(pattern, given, strict=True)
    return {part[1:-1]: unquote(value, errors="replace") for part, value in pairs if _is_parameter(part)}
