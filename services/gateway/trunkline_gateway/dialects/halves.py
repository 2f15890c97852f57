"""Characters that a provider cut in two between events, put together again. Pure.

Tokens are bytes, not characters: some servers send one half of a surrogate pair, or part of a character's UTF-8, at the
end of one event's text and the rest at the beginning of the next. Neither half is JSON.
"""

import re

_HIGH_AT_THE_END = re.compile(rb'(?<!\\)(?P<before>(?:\\\\)*)(?P<half>\\u[dD][89abAB][0-9a-fA-F]{2})(?=")')
_BYTES_AT_THE_END = re.compile(rb'(?P<half>[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})(?=")')
_SURROGATES = re.compile(
    rb"(?<!\\)(?P<before>(?:\\\\)*)(?:(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_REST_AT_THE_START = re.compile(rb'"(?=\\u[dD][c-fC-F]|[\x80-\xbf])')


class Halves:
    """Between two events of one stream. Only asked about data that is not JSON as it is."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = b""

    def mended(self, data: bytes) -> bytes:
        """`data` with the half that came before, without the half that goes on; what is left over is U+FFFD."""
        half, self._half = self._half, b""
        if half:
            data = _REST_AT_THE_START.sub(lambda _found: b'"' + half, data, count=1)
        found = _HIGH_AT_THE_END.search(data) or _BYTES_AT_THE_END.search(data)
        if found is not None:
            self._half = found["half"]
            data = data[: found.start("half")] + data[found.end() :]
        return _SURROGATES.sub(_kept, data).decode(errors="replace").encode()


def _kept(found: re.Match[bytes]) -> bytes:
    """Pairs stay; what is alone cannot be text."""
    return found["before"] + (found["pair"] or b"\\ufffd")
