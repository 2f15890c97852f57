"""Text from elsewhere, made safe to print: a terminal obeys what is in it, and callers choose names. Pure.

Replaced are the control characters (C0, DEL, C1, some of which begin escape sequences), line and paragraph separators,
and what turns the direction of the text around it, so that a line cannot be made to read as another one.
"""

import re

REPLACEMENT = "\ufffd"
_TURNS = r"\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""Separators, embeddings, overrides and isolates; and halves of pairs, which no stream can encode."""
_RISKY = re.compile(rf"[\x00-\x1f\x7f-\x9f{_TURNS}]")
_RISKY_IN_LINES = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_TURNS}]")


def printable(text: str) -> str:
    """For a cell or a field: stays on its line."""
    return _RISKY.sub(REPLACEMENT, text)


def printable_lines(text: str) -> str:
    """The same for a whole text: line feeds and tabs stay; a line that ended with CR LF ends with LF."""
    return _RISKY_IN_LINES.sub(REPLACEMENT, text.replace("\r\n", "\n"))


def printable_json(text: str) -> str:
    """JSON that means the same: an encoder escapes C0 itself, all else can only stand inside of its strings."""
    return _RISKY_IN_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
