"""What is kept of responses: for one team each, for some time, and not more than fits."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw

from trunkline_gateway.responses.conversation import id_of, output_of
from trunkline_gateway.responses.records import (
    Place,
    Record,
    Seen,
    cipher_name,
    item_name,
    packed,
    packed_place,
    response_name,
    seen,
    size_of,
    unpacked,
    unpacked_bytes,
    unpacked_place,
)
from trunkline_gateway.responses.states import States
from trunkline_kit.errors import BodyTooLarge, InvalidRequest, ObjectNotFound, ResponseNotFound, StoreUnavailable
from trunkline_kit.settings import Responses

CHAIN_MAX = 1_000
"""Responses of one conversation, so that a record stays small beside what it is about."""
CONVERSATION_BYTES_MAX = 32 * 1024 * 1024
"""Unpacked: of what one request has us read, and of a request with the conversation in front of it."""
_BATCH_BYTES = 4 * 1024 * 1024
_BATCH_MAX = 64
"""Bytes and responses that are read at a time where it may do without the rest."""
CIPHERS_MAX = 1_000
"""Thoughts of a request whose author is looked up: the last ones."""
_ASIDE_BYTES = 128 * 1024
"""Unpacked. More would hold up the event loop for more than a millisecond or two: it is done in a thread."""
TOO_LARGE, STORE_DOWN = "too_large", "store_unavailable"
"""Why something was not kept."""

T = TypeVar("T")


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A response that is there, with what led to it."""

    response: bytes
    account: str
    """The provider that gave it its id; empty where we did."""
    input: list[Raw]
    before: list[str]
    sizes: list[int]
    """Of each one before, in bytes."""
    wanted: bool
    """Whether its caller wants it kept."""


class Batch(msgspec.Struct, frozen=True):
    """Responses that are read at once."""

    response_ids: list[str]
    size_bytes: int


class Said(msgspec.Struct, frozen=True):
    """An item that is kept."""

    account: str
    """The provider that keeps it as well; empty where nobody but us does."""
    item: Raw


def batches_of(last: Record, *, newest_first: bool) -> list[Batch]:
    """The conversation that led to a response, so that it can be read bit by bit."""
    parts = [*zip(last.before, last.sizes, strict=True)]
    found: list[Batch] = []
    for response_id, size_bytes in reversed(parts) if newest_first else parts:
        batch = found[-1] if found else None
        if batch and batch.size_bytes + size_bytes <= _BATCH_BYTES and len(batch.response_ids) < _BATCH_MAX:
            found[-1] = Batch([*batch.response_ids, response_id], batch.size_bytes + size_bytes)
        else:
            found.append(Batch([response_id], size_bytes))
    return found


class Desk:
    """Of one gateway. Owners are digests of teams: nobody gets what another one's is, nor learns that it is there."""

    def __init__(self, states: States, settings: Responses) -> None:
        self._states = states
        self._settings = settings

    async def find(self, owner: str, response_id: str) -> Record:
        """Raises ObjectNotFound, StoreUnavailable."""
        found = await self._load(owner, [response_id])
        if found[0] is None:
            raise ObjectNotFound(f"Response with id {response_id!r} not found.")
        return found[0]

    async def previous(self, owner: str, response_id: str) -> Record:
        """What a request continues. Raises ResponseNotFound, StoreUnavailable."""
        found = (await self._load(owner, [response_id]))[0]
        if found is None:
            raise _gone(f"Previous response with id {response_id!r} not found.")
        if len(found.before) >= CHAIN_MAX:
            text = f"this conversation has {CHAIN_MAX} responses, which is as long as one may be; begin another"
            raise InvalidRequest(text, param="previous_response_id")
        return found

    async def before(self, owner: str, last: Record) -> list[Record]:
        """The conversation that led to a response.

        Raises BodyTooLarge before any of it is read, ResponseNotFound, StoreUnavailable.
        """
        _check_size(sum(last.sizes) + last.size_bytes, "previous_response_id")
        found = await self._load(owner, last.before)
        for response_id, record in zip(last.before, found, strict=True):
            if record is None:
                raise _gone(f"Response with id {response_id!r}, which began this conversation, is not kept any more.")
        return [record for record in found if record is not None]

    async def left_of(self, owner: str, batch: Batch) -> list[tuple[str, Record]]:
        """Some of a conversation, without what is not there any more. Raises StoreUnavailable."""
        found = zip(batch.response_ids, await self._load(owner, batch.response_ids), strict=True)
        return [(response_id, record) for response_id, record in found if record is not None]

    async def forget(self, owner: str, response_id: str) -> None:
        """Raises ObjectNotFound, StoreUnavailable."""
        record = await self.find(owner, response_id)
        items = [item_name(item.id) for item in seen(bytes(record.response)).output if item.id]
        await self._states.delete(owner, [response_name(response_id), *items])

    async def places(self, owner: str, item_ids: Sequence[str]) -> dict[str, Place]:
        """Where these items are, of those that this team was given. Raises StoreUnavailable."""
        names = await self._states.get(owner, [item_name(item_id) for item_id in item_ids])
        found = zip(item_ids, names, strict=True)
        return {item_id: unpacked_place(data) for item_id, data in found if data is not None}

    async def items(self, owner: str, places: Mapping[str, Place]) -> dict[str, Said]:
        """What was said at these places, without what is not there. Each response is read once.

        Raises BodyTooLarge before any of it is read, StoreUnavailable.
        """
        _check_size(read_bytes(places), "input")
        wanted: dict[str, set[str]] = {}
        for item_id, place in places.items():
            if place.response_id:
                wanted.setdefault(place.response_id, set()).add(item_id)
        if not wanted:
            return {}
        found = await self._states.get(owner, [response_name(response_id) for response_id in wanted])
        return await aside(_size_of(found), lambda: _said(_unpacked(found), [*wanted.values()]))

    async def authors(self, owner: str, ciphers: Sequence[str]) -> list[str]:
        """The accounts that wrote these, as far as that is known now."""
        try:
            found = await self._states.get(owner, [cipher_name(cipher) for cipher in ciphers[-CIPHERS_MAX:]])
        except StoreUnavailable:
            # Then it goes where it would go without: most models have one account.
            return []
        return [name.decode() for name in found if name is not None]

    async def check(self) -> str:
        """Why nothing would be kept now; empty where it would."""
        try:
            await self._states.check()
        except StoreUnavailable:
            return STORE_DOWN
        return ""

    async def keep(self, owner: str, made: Made) -> str:
        """Keep it, if that is wanted and it is complete. Why that failed; empty where it did not."""
        look = seen(made.response)
        try:
            entries, why = await self._entries(made, look)
            if entries:
                used = [response_name(one) for one in made.before]
                await self._states.put(owner, entries, self._settings.ttl_s, used)
        except StoreUnavailable:
            return STORE_DOWN if made.wanted else ""
        return why

    async def _entries(self, made: Made, look: Seen) -> tuple[dict[str, bytes], str]:
        author = made.account.encode()
        entries = {cipher_name(item.cipher): author for item in look.output if author and item.cipher}
        if author:
            # Kept or not: an id goes back to an account only from the team that it was given to.
            entries |= {item_name(item.id): packed_place(Place()) for item in look.output if item.id}
        if not (made.wanted and look.is_over):
            return entries, ""
        size_bytes = size_of(made.response, made.input)
        if size_bytes > self._settings.max_bytes:
            return entries, TOO_LARGE
        record = Record(
            response=Raw(made.response), input=made.input, before=made.before, sizes=made.sizes, account=made.account
        )
        data = await aside(size_bytes, lambda: packed(record))
        entries[response_name(look.id)] = data
        place = packed_place(Place(size_bytes, look.id))
        entries |= {item_name(item.id): place for item in look.output if item.id}
        return entries, ""

    async def _load(self, owner: str, response_ids: Sequence[str]) -> list[Record | None]:
        found = await self._states.get(owner, [response_name(response_id) for response_id in response_ids])
        return await aside(_size_of(found), lambda: _unpacked(found))


def read_bytes(places: Mapping[str, Place]) -> int:
    """Of the responses that are read for these items."""
    return sum({place.response_id: place.size_bytes for place in places.values()}.values())


async def aside(size_bytes: int, work: Callable[[], T]) -> T:
    """Done here where there is little of it, else beside the event loop."""
    return await asyncio.to_thread(work) if size_bytes > _ASIDE_BYTES else work()


def _size_of(found: Sequence[bytes | None]) -> int:
    """Unpacked."""
    return sum(unpacked_bytes(data) for data in found if data is not None)


def _unpacked(found: Sequence[bytes | None]) -> list[Record | None]:
    return [None if data is None else unpacked(data) for data in found]


def _said(records: Sequence[Record | None], wanted: Sequence[set[str]]) -> dict[str, Said]:
    """The items that are wanted of each."""
    said: dict[str, Said] = {}
    for record, item_ids in zip(records, wanted, strict=True):
        output = [] if record is None else output_of(record)
        account = "" if record is None else record.account
        said |= {item_id: Said(account, raw) for raw in output if (item_id := id_of(raw)) in item_ids}
    return said


def _check_size(size_bytes: int, param: str) -> None:
    if size_bytes > CONVERSATION_BYTES_MAX:
        text = f"the conversation is larger than {CONVERSATION_BYTES_MAX} bytes: begin another, or refer to less of it"
        raise BodyTooLarge(text, param=param)


def _gone(text: str) -> ResponseNotFound:
    return ResponseNotFound(f"{text} Send the conversation itself as input.", param="previous_response_id")
