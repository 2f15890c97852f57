"""Versions as entity tags: which one a change was meant for. Source: RFC 9110, sections 8.8.3 and 13.1.1."""

import re

import msgspec

from trunkline_kit.errors import InvalidRequest, VersionMismatch

_TAG = re.compile(r'\s*(?:(?P<weak>W/)?"(?P<quoted>[^"]*)"|(?P<bare>[0-9]+))\s*')
_HEADER_CHARS_MAX = 1024


class IfMatch(msgspec.Struct, frozen=True):
    """What the header `if-match` asks for."""

    versions: frozenset[str] | None = None
    """None: any version will do."""

    def require(self, version: int) -> None:
        """Raises VersionMismatch where the object is not as its changer saw it."""
        if self.versions is not None and str(version) not in self.versions:
            text = f"somebody else has changed it: its version is {version}; read it again, then change that"
            raise VersionMismatch(text, param="if-match")


def etag(version: int) -> str:
    """The entity tag of a version."""
    return f'"{version}"'


def if_match(header: str) -> IfMatch:
    """The header's meaning; an empty one asks for nothing. Raises InvalidRequest for one that is no list of tags.

    A version without quotes is understood too. Weak tags never match.
    """
    text = header.strip()
    if not text or text == "*":
        return IfMatch()
    if len(text) > _HEADER_CHARS_MAX:
        raise _malformed()
    found = [_TAG.fullmatch(part) for part in text.split(",")]
    if None in found:
        raise _malformed()
    tags = [tag for tag in found if tag is not None and not tag["weak"]]
    return IfMatch(frozenset(tag["bare"] or tag["quoted"] or "" for tag in tags))


def _malformed() -> InvalidRequest:
    return InvalidRequest('if-match must be an ETag of this object, such as "12", or *', param="if-match")
