"""What can be asked about a response that was kept."""

from urllib.parse import parse_qs

import msgspec

from trunkline_gateway.responses.conversation import Picked, history_of, id_of, listed
from trunkline_gateway.responses.desk import CONVERSATION_BYTES_MAX, Desk, batches_of
from trunkline_gateway.responses.records import Record
from trunkline_gateway.responses_types import InputItems
from trunkline_kit.errors import InvalidRequest, Unsupported

LIMIT_MAX = 100
_LIMIT = 20
_TRUE = frozenset({"true", "1"})

_encode = msgspec.json.Encoder().encode


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the items."""

    limit: int = _LIMIT
    newest_first: bool = True
    after: str = ""


def check_query(query: bytes) -> None:
    """Raises Unsupported for a response that is to come as a stream once more."""
    if _last(query, "stream") in _TRUE:
        raise Unsupported("a response that is kept can be read whole only: leave stream out", param="stream")


def page_asked(query: bytes) -> Page:
    """Raises InvalidRequest."""
    limit, order = _last(query, "limit") or str(_LIMIT), _last(query, "order") or "desc"
    if not limit.isdecimal() or not limit.isascii() or not 1 <= int(limit) <= LIMIT_MAX:
        raise InvalidRequest(f"limit must be a number from 1 to {LIMIT_MAX}", param="limit")
    if order not in {"asc", "desc"}:
        raise InvalidRequest("order must be asc or desc", param="order")
    return Page(limit=int(limit), newest_first=order == "desc", after=_last(query, "after"))


async def input_items(desk: Desk, owner: str, response_id: str, page: Page) -> bytes:
    """One page of what a response was made from. Only as much is unpacked as the page takes, bit by bit.

    Raises ObjectNotFound, InvalidRequest, StoreUnavailable.
    """
    last = await desk.find(owner, response_id)
    picked = Picked(page.limit, page.after)
    newest = listed(last.input, response_id)
    if page.newest_first:
        picked.add(newest[::-1])
    await _pick_before(desk, owner, last, picked, newest_first=page.newest_first)
    if not page.newest_first:
        picked.add(newest)
    found = picked.page()
    return _encode(
        InputItems(
            data=[*found],
            first_id=id_of(found[0]) if found else None,
            last_id=id_of(found[-1]) if found else None,
            has_more=picked.has_more,
        )
    )


async def _pick_before(desk: Desk, owner: str, last: Record, picked: Picked, *, newest_first: bool) -> None:
    """Of the conversation before it. Raises InvalidRequest where too much of it would have to be read for a page."""
    read_bytes = 0
    for batch in batches_of(last, newest_first=newest_first):
        if picked.has_more:
            return
        read_bytes += batch.size_bytes
        if read_bytes > CONVERSATION_BYTES_MAX:
            text = f"items are listed as far as {CONVERSATION_BYTES_MAX} bytes from the end of a conversation: begin at"
            raise InvalidRequest(f"{text} its other end with order", param="after")
        for response_id, record in await desk.left_of(owner, batch):
            items = listed(history_of([record]), response_id)
            picked.add(items[::-1] if newest_first else items)


def _last(query: bytes, name: str) -> str:
    """A parameter, the last where it is given twice; empty where it is not."""
    return parse_qs(query.decode("latin-1")).get(name, [""])[-1]
