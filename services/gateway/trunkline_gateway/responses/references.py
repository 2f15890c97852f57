"""Items of a request that have ids: which of them are nothing without, and what of an id may go out. Pure."""

from collections.abc import Collection, Sequence

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects.reading import NOTHING, UNDECODABLE, present
from trunkline_gateway.responses.conversation import Members, word
from trunkline_kit.errors import InvalidRequest

REFERENCES_MAX = 1_000
"""In one request: each is looked up."""
_SAYS = {"reasoning": ("encrypted_content", "summary", "content"), "image_generation_call": ("result",)}
"""Types of items that may come by their id alone, and the members that they have otherwise."""
_EMPTY = frozenset({b"", b"null", b"[]", b'""'})

_decode_members = msgspec.json.Decoder(Members).decode
_encode = msgspec.json.Encoder().encode


class Named(msgspec.Struct, frozen=True):
    """An item with a member `id`."""

    id: str
    """Empty for one that is no text."""
    members: Members
    """Each once, the last where one is given twice: nobody else can take another for the item's id."""
    is_reference: bool
    """Whether it says nothing itself, and means the item of this id."""

    def item(self, *, keeps_id: bool) -> Raw:
        """As it may go out."""
        said = self.members if keeps_id else {name: raw for name, raw in self.members.items() if name != "id"}
        return Raw(_encode(said))


def named_in(items: Sequence[Raw]) -> dict[int, Named]:
    """The items that have an id, by their place. Raises InvalidRequest where too many of them are references."""
    found = {index: named for index, item in enumerate(items) if (named := _named(item)) is not None}
    if sum(named.is_reference for named in found.values()) > REFERENCES_MAX:
        raise InvalidRequest(f"input: more than {REFERENCES_MAX} items are referred to by their ids", param="input")
    return found


def looked_up(named: Collection[Named]) -> list[str]:
    """The ids to ask for, each once: those of references, and the last of the others.

    What has its own content can go without an id, so that nobody has us look up more than it may refer to.
    """
    ids = dict.fromkeys(one.id for one in named if one.is_reference and one.id)
    others = [one.id for one in named if not one.is_reference and one.id]
    return [*dict.fromkeys([*ids, *others[-REFERENCES_MAX:]])]


def _named(item: Raw) -> Named | None:
    try:
        members = _decode_members(bytes(item))
    except UNDECODABLE:
        # No object: the provider's to judge, and no reference.
        return None
    if "id" not in members:
        return None
    return Named(word(members, "id"), members, _is_reference(members))


def _is_reference(members: Members) -> bool:
    if present(members["id"]) is None:
        return False
    kind = word(members, "type")
    if kind == "item_reference":
        return True
    if not kind:
        return not word(members, "role") or _is_empty(members, "content")
    return kind in _SAYS and all(_is_empty(members, name) for name in _SAYS[kind])


def _is_empty(members: Members, name: str) -> bool:
    return bytes(members.get(name, NOTHING)).replace(b" ", b"") in _EMPTY
