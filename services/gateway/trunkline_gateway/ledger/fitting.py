"""A row in the room of a slot of the journal, whatever callers wrote into it. Pure."""

from collections.abc import Iterator

from msgspec import structs

from trunkline_gateway.ledger.rows import AttemptRow, encode_rows

CUT = "\u2026"
"""Ends what was cut, so that it is not taken for another name."""
TEXT_BYTES = 88
"""What of a text is kept where not all of them fit. Longer than the names that people choose and the ids we make."""
_NAMES = tuple(field.name for field in structs.fields(AttemptRow) if field.type is str)


def fitted(row: AttemptRow, limit_bytes: int) -> tuple[bytes, bool]:
    """A batch of this row alone in at most `limit_bytes`, and whether it is all of it.

    What callers choose goes first: the end user is cut, then tags are left out from the end, since a part of a tag
    would be another tag; the other texts are cut only if that is not enough. A limit below what a row with texts of
    `TEXT_BYTES` takes, some 1,900 bytes, may not be kept. Raises OverflowError and ValueError for what is no row.
    """
    payload = encode_rows([row])
    if len(payload) <= limit_bytes:
        return payload, True
    for smaller in _smaller(row, limit_bytes):
        payload = encode_rows([smaller])
        if len(payload) <= limit_bytes:
            break
    return payload, False


def _smaller(row: AttemptRow, limit_bytes: int) -> Iterator[AttemptRow]:
    row = structs.replace(row, end_user=shortened(row.end_user))
    over_bytes = len(encode_rows([row])) - limit_bytes
    row = structs.replace(row, tags=_first(row.tags, over_bytes))
    yield row
    yield structs.replace(row, tags=(), **{name: shortened(getattr(row, name)) for name in _NAMES})


def shortened(text: str) -> str:
    """In at most `TEXT_BYTES` of UTF-8, no character in halves."""
    data = text.encode()
    if len(data) <= TEXT_BYTES:
        return text
    return data[: TEXT_BYTES - len(CUT.encode())].decode(errors="ignore") + CUT


def _first(tags: tuple[str, ...], over_bytes: int) -> tuple[str, ...]:
    """Without as many of the last as take `over_bytes`, each with at least a byte for its length."""
    kept = len(tags)
    while kept and over_bytes > 0:
        kept -= 1
        over_bytes -= len(tags[kept].encode()) + 1
    return tags[:kept]
