"""What a request continues, put in front of what it says; and the items of a conversation, as they are listed. Pure."""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects.reading import NOTHING, present, read
from trunkline_gateway.responses.records import Record, items_in
from trunkline_kit.errors import InvalidRequest, Unsupported

Members = dict[str, Raw]

_ELSEWHERE = {
    "background": "background responses are not served here: leave background out, and stream what takes long",
    "conversation": "conversations are not kept here: use previous_response_id",
}
"""Fields of the dialect that nobody here can honour, and what to do instead."""


class _Message(msgspec.Struct, frozen=True, kw_only=True):
    role: str = "user"
    content: str
    type: str = "message"


class _Output(msgspec.Struct, frozen=True):
    output: list[Raw] = []


class _Part(msgspec.Struct, frozen=True):
    type: str
    text: str


_decode_items = msgspec.json.Decoder(str | list[Raw])
_decode_output = msgspec.json.Decoder(_Output)
_decode_members = msgspec.json.Decoder(Members)
_encode = msgspec.json.Encoder().encode
_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}


def refuse(members: Members) -> None:
    """Raises Unsupported for what nobody here can honour."""
    for field, text in _ELSEWHERE.items():
        said = present(members.get(field, NOTHING))
        if said is not None and bytes(said) != b"false":
            raise Unsupported(text, param=field)


def items_of(members: Members) -> list[Raw]:
    """The request's own input as items. Raises InvalidRequest."""
    said = read(bytes(members.get("input", Raw(b"[]"))), _decode_items, "input")
    return [Raw(_encode(_Message(content=said)))] if isinstance(said, str) else said


def output_of(record: Record) -> list[Raw]:
    """The items of the answer."""
    return read(bytes(record.response), _decode_output).output


def history_of(records: Iterable[Record]) -> list[Raw]:
    """Everything that was said, in order, for somebody else to continue.

    An account's own thoughts are left out: nobody else can read them.
    """
    found: list[Raw] = []
    for record in records:
        found += record.input
        said = output_of(record)
        own = items_in(said) if record.account else []
        found += [raw for raw, look in zip(said, own, strict=True) if look.type != "reasoning"] if own else said
    return found


def rewritten(members: Members, history: Sequence[Raw], items: Sequence[Raw]) -> bytes:
    """The request with `history` in front of these items, to be answered by anybody. Nothing refers to it any more."""
    said = dict(members)
    said.pop("previous_response_id", None)
    said["input"] = Raw(_encode([*[bare(item) for item in history], *items]))
    return _encode(said)


def pointing(members: Members, items: Sequence[Raw]) -> bytes:
    """The request with these items, still continuing what it names."""
    return _encode({**members, "input": items})


def listed(items: Iterable[Raw], response_id: str) -> list[Raw]:
    """Items of one response, each with an id."""
    return [_named(item, response_id, index) for index, item in enumerate(items)]


def id_of(item: Raw) -> str:
    """Empty where it has none."""
    return word(read(bytes(item), _decode_members), "id")


def bare(item: Raw) -> Raw:
    """Without its id, which means something to whoever gave it only. Thoughts keep theirs: they are read by it."""
    members = read(bytes(item), _decode_members)
    if "id" not in members or bytes(members.get("type", NOTHING)) == b'"reasoning"':
        return item
    del members["id"]
    return Raw(_encode(members))


def _named(item: Raw, response_id: str, index: int) -> Raw:
    """With an id, a type and a status, and text as parts: as OpenAI lists items."""
    members = read(bytes(item), _decode_members)
    kind = word(members, "type") or "message"
    members["type"] = Raw(_encode(kind))
    if present(members.get("id", NOTHING)) is None:
        prefix = _PREFIXES.get(kind, "item")
        members["id"] = Raw(_encode(f"{prefix}_{response_id.removeprefix('resp_')}_in{index}"))
    members.setdefault("status", Raw(b'"completed"'))
    content = members.get("content", NOTHING)
    if kind == "message" and bytes(content)[:1] == b'"':
        part = "output_text" if word(members, "role") == "assistant" else "input_text"
        members["content"] = Raw(_encode([_Part(part, msgspec.json.decode(bytes(content)))]))
    return Raw(_encode(members))


def word(members: Members, name: str) -> str:
    """A member that is text; empty for anything else."""
    raw = bytes(members.get(name, NOTHING))
    return str(msgspec.json.decode(raw)) if raw[:1] == b'"' else ""


class Picked:
    """One page of items that come bit by bit: the first `limit` of them, or of those behind the item `after`."""

    def __init__(self, limit: int, after: str) -> None:
        self._limit = limit
        self._after = after
        self._begun = not after
        self._found: list[Raw] = []

    @property
    def has_more(self) -> bool:
        """Whether there is more than the page; nothing need be added then."""
        return len(self._found) > self._limit

    def add(self, items: Iterable[Raw]) -> None:
        for item in items:
            if self.has_more:
                return
            if self._begun:
                self._found.append(item)
            else:
                self._begun = id_of(item) == self._after

    def page(self) -> Sequence[Raw]:
        """Raises InvalidRequest for an `after` that is none of them."""
        if not self._begun:
            raise InvalidRequest(f"after: there is no item {self._after!r} here", param="after")
        return self._found[: self._limit]
