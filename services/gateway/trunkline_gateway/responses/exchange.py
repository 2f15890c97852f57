"""One request to make a response: what it continues is put in front of it, and what comes of it is kept."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from trunkline_gateway import body as bodies
from trunkline_gateway.openai_types import ResponsesControl
from trunkline_gateway.providers.base import Call
from trunkline_gateway.responses.conversation import (
    bare,
    history_of,
    items_of,
    pointing,
    refuse,
    rewritten,
    word,
)
from trunkline_gateway.responses.desk import CONVERSATION_BYTES_MAX, Desk, Made, Said, aside, read_bytes
from trunkline_gateway.responses.records import Place, items_in, owner_of, response_in, seen
from trunkline_gateway.responses.references import Named, looked_up, named_in
from trunkline_gateway.sink import Headers, Sink
from trunkline_gateway.sse import SseParser
from trunkline_gateway.surface import CONTROL_DECODERS
from trunkline_gateway.turn import Turn
from trunkline_kit.errors import BodyTooLarge, InvalidRequest, StoreUnavailable, TrunklineError

STORED = "x-trunkline-stored"
"""The header that says that an answer was not kept, and why."""
_LAST = (b"event: response.completed\n", b"event: response.incomplete\n")
"""How the event begins that has the whole response in it."""


class Exchange:
    """A sink that keeps what goes through it. Belongs to one request."""

    def __init__(self, desk: Desk, turn: Turn, sink: Sink) -> None:
        self._desk = desk
        self._turn = turn
        self._sink = sink
        self._owner = owner_of(turn.principal)
        self._answer_id = ""
        self._wanted = False
        self._own = 0
        """How many of the items at the end are the request's own."""
        self._before: list[str] = []
        self._sizes: list[int] = []
        self._body_bytes = 0

    async def prepare(self, call: Call, accounts: frozenset[str]) -> Call:
        """The request as providers need it. `accounts` are those that keep responses and may answer for its model.

        Raises InvalidRequest, ResponseNotFound, Overloaded, and StoreUnavailable where that keeps it from being
        answered.
        """
        self._body_bytes = len(call.body)
        members = bodies.members_of(call.body)
        refuse(members)
        own = items_of(members)
        control = call.control
        if not isinstance(control, ResponsesControl):
            raise TypeError("only requests of this surface come here")
        said = control.previous_response_id
        last = await self._desk.previous(self._owner, said) if said else None
        home = last.account if last is not None and last.account in accounts else ""
        items, home = await self._resolved(own, accounts, home)
        home = home or await self._author(items, accounts)
        self._wanted, self._answer_id, self._own = control.store is not False, call.answer_id, len(items)
        if last is not None:
            self._before, self._sizes = [*last.before, said or ""], [*last.sizes, last.size_bytes]
        goes_back = last is None or (home != "" and home == last.account)
        if last is not None and not goes_back:
            size_bytes = sum(self._sizes)
            self._hold(size_bytes)
            before = await self._desk.before(self._owner, last)
            body = await aside(size_bytes, lambda: rewritten(members, history_of([*before, last]), items))
        else:
            body = call.body if items is own else await aside(len(call.body), lambda: pointing(members, items))
        if len(body) > max(CONVERSATION_BYTES_MAX, len(call.body)):
            raise BodyTooLarge(f"the conversation is larger than {CONVERSATION_BYTES_MAX} bytes: begin another")
        self._hold(len(body) - len(call.body))
        return msgspec.structs.replace(
            call,
            body=body,
            control=bodies.decode(body, CONTROL_DECODERS[call.surface]),
            continues="" if goes_back else said or "",
            only=home or None,
        )

    def _hold(self, more_bytes: int) -> None:
        """So much beside the body. Raises Overloaded where there is no room for it."""
        if self._turn.held is not None:
            self._turn.held.grow(self._body_bytes + min(more_bytes, CONVERSATION_BYTES_MAX))

    async def _resolved(self, items: list[Raw], accounts: frozenset[str], home: str) -> tuple[list[Raw], str]:
        """The items with those in place that are only referred to, and the account that keeps what still is.

        No id goes out that this team was not given: what has its own content goes without. Raises InvalidRequest for a
        reference to what is not there, BodyTooLarge, StoreUnavailable.
        """
        named = named_in(items)
        if not named:
            return items, home
        refers = {one.id for one in named.values() if one.is_reference}
        places = await self._places(looked_up([*named.values()]), needed=bool(refers))
        meant = {item_id: place for item_id, place in places.items() if item_id in refers}
        self._hold(read_bytes(meant))
        found = await self._desk.items(self._owner, meant)
        size_bytes = 0
        resolved: list[Raw | None] = [*items]
        for index, one in named.items():
            if not one.is_reference:
                resolved[index] = one.item(keeps_id=one.id in places)
                continue
            kept = found.get(one.id)
            if kept is None:
                raise InvalidRequest(f"Item with id {one.id!r} not found.", param=f"input[{index}].id")
            if kept.account in accounts and home in ("", kept.account):
                home = kept.account
                resolved[index] = one.item(keeps_id=True)
                continue
            resolved[index] = _elsewhere(kept, one)
            size_bytes += len(bytes(kept.item))
            _check_size(size_bytes)
        return [item for item in resolved if item is not None], home

    async def _places(self, item_ids: Sequence[str], *, needed: bool) -> dict[str, Place]:
        """Where items are. Raises StoreUnavailable where that is needed; else nothing is known without the store."""
        try:
            return await self._desk.places(self._owner, item_ids)
        except StoreUnavailable:
            if needed:
                raise
            return {}

    async def _author(self, items: Sequence[Raw], accounts: frozenset[str]) -> str:
        """The account that alone can read the thoughts among these items; empty where there is none to tell."""
        if not accounts:
            return ""
        ciphers = [look.cipher for look in items_in(items) if look.cipher]
        authors = await self._desk.authors(self._owner, ciphers) if ciphers else []
        return next((author for author in reversed(authors) if author in accounts), "")

    async def whole(self, body: bytes, headers: Headers) -> None:
        why = await self._keep(body)
        await self._sink.whole(body, _with(headers, why))

    async def open(self, headers: Headers) -> None:
        # How keeping it goes is known at the end only; that the store is down may be known now.
        await self._sink.open(_with(headers, await self._desk.check() if self._wanted else ""))

    async def events(self, chunks: list[bytes]) -> None:
        """What has the whole response in it goes on when that is kept: it may be continued at once."""
        for chunk in chunks:
            if any(mark in chunk for mark in _LAST):
                await self._keep(bytes(response_in(SseParser().feed(chunk)[-1])))
        await self._sink.events(chunks)

    async def done(self) -> None:
        await self._sink.done()

    async def broken(self, error: TrunklineError) -> None:
        await self._sink.broken(error)

    async def _keep(self, response: bytes) -> str:
        """Why it was not kept though it should be; empty where all is well."""
        turn = self._turn
        native = seen(response).id != self._answer_id
        own = items_of(bodies.members_of(turn.sent))[-self._own :] if self._own else []
        made = Made(
            response=response,
            account=turn.target.provider if native and turn.target is not None else "",
            input=own,
            before=self._before,
            sizes=self._sizes,
            wanted=self._wanted,
        )
        return await self._desk.keep(self._owner, made)


def _elsewhere(kept: Said, named: Named) -> Raw | None:
    """What others get for a reference: the item itself; nothing for a thought that only its account can read."""
    is_thought = word(named.members, "type") == "reasoning" or items_in([kept.item])[0].type == "reasoning"
    return None if is_thought and kept.account else bare(kept.item)


def _check_size(size_bytes: int) -> None:
    if size_bytes > CONVERSATION_BYTES_MAX:
        text = f"input: what it refers to is larger than {CONVERSATION_BYTES_MAX} bytes"
        raise BodyTooLarge(text, param="input")


def _with(headers: Headers, why: str) -> Headers:
    return [*headers, (STORED, f"no;{why}")] if why else headers
