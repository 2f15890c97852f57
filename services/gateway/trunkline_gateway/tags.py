"""Marks on requests: those of the key, and those that the caller sends along."""

import re

from trunkline_kit.errors import InvalidRequest

HEADER = "x-trunkline-tags"
TAGS_MAX = 8
"""In the header: each may be one more counter, and one more entry of the ledger's row."""
_TAG = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
"""As `tenants.TagName`."""


def tags_of(own: tuple[str, ...], header: str) -> tuple[str, ...]:
    """Each once, the key's first. `header` is a list with commas between; raises InvalidRequest naming it."""
    if not header:
        return own
    sent = [tag.strip() for tag in header.split(",")]
    if len(sent) > TAGS_MAX:
        raise InvalidRequest(f"{HEADER}: {len(sent)} tags are too many; send at most {TAGS_MAX}", param=HEADER)
    for tag in sent:
        if _TAG.fullmatch(tag) is None:
            text = f"{HEADER}: each tag is 1 to 64 of A-Z a-z 0-9 . _ : / -, with commas between; {tag[:64]!r} is none"
            raise InvalidRequest(text, param=HEADER)
    return tuple(dict.fromkeys((*own, *sent)))
