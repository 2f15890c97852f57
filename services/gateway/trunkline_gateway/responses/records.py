"""A response as it is kept, and what of an answer says how it is to be kept. Pure."""

import hashlib
import zlib
from collections.abc import Iterable

import msgspec
from msgspec import Raw

from trunkline_gateway.auth import Principal
from trunkline_gateway.dialects.responses_answers import COMPLETED, INCOMPLETE

_HEAD = 4
"""Bytes in front of what is packed: how many it is unpacked."""
_LEVEL = 1
"""Of zlib: JSON shrinks to a third or less, at about 10 ms per MB."""
_NULL = Raw(b"null")
_MARK = "trunkline."
"""Proofs of thoughts that are ours to read begin so; see `dialects.proofs`."""
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One response with what led to it."""

    response: Raw
    """The object, as its caller got it."""
    input: list[Raw] = []
    """The items of its own request, as they were sent to the provider: after redactions."""
    before: list[str] = []
    """Ids of the responses that it continues, the oldest first."""
    sizes: list[int] = []
    """Bytes of each of them."""
    account: str = ""
    """The provider that keeps it as well; empty where nobody but us does."""

    @property
    def size_bytes(self) -> int:
        """Of what was said, unpacked."""
        return size_of(self.response, self.input)


class Place(msgspec.Struct, frozen=True):
    """Where an item of an answer is kept."""

    size_bytes: int = 0
    """Of its whole response, unpacked."""
    response_id: str = ""
    """Empty for one that this team was given, and that is not kept here."""


class Item(msgspec.Struct, frozen=True):
    """Of any type."""

    type: str | None = None
    id: str | None = None
    encrypted_content: str | None = None

    @property
    def cipher(self) -> str:
        """A thought that only the account that thought it can read; empty for none, and for one that we wrapped."""
        text = self.encrypted_content or ""
        return "" if self.type != "reasoning" or text.startswith(_MARK) else text


class Seen(msgspec.Struct, frozen=True):
    """A Response object, as far as it says how it is kept."""

    id: str = ""
    status: str | None = None
    output: list[Item] = []

    @property
    def is_over(self) -> bool:
        """Whether it is all there is: a failed one is not kept."""
        return bool(self.id) and self.status in {COMPLETED, INCOMPLETE}


class _Event(msgspec.Struct, frozen=True):
    response: Raw = _NULL


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode
_decode_seen = msgspec.json.Decoder(Seen).decode
_decode_event = msgspec.json.Decoder(_Event).decode


def owner_of(principal: Principal) -> str:
    """Who may read what this caller keeps: its team. A digest, since it becomes part of a key of the store."""
    name = msgspec.json.encode([principal.org, principal.team])
    return hashlib.blake2b(name, digest_size=16).hexdigest()


def size_of(response: Raw | bytes, items: Iterable[Raw]) -> int:
    """Bytes of a response and of the input that led to it."""
    return len(bytes(response)) + sum(len(bytes(item)) for item in items)


def packed(record: Record) -> bytes:
    data = _encode(record)
    return len(data).to_bytes(_HEAD, "big") + zlib.compress(data, _LEVEL)


def unpacked_bytes(data: bytes) -> int:
    """What it will take to unpack, known without doing it."""
    return int.from_bytes(data[:_HEAD], "big")


def unpacked(data: bytes) -> Record | None:
    """None for what is no record: another version's, or damaged. Never takes more room than it says."""
    try:
        return _decode(zlib.decompressobj().decompress(data[_HEAD:], unpacked_bytes(data) or 1))
    except (zlib.error, *_UNDECODABLE):
        return None


def seen(response: bytes) -> Seen:
    """An empty one for what is no Response object."""
    try:
        return _decode_seen(response)
    except _UNDECODABLE:
        return Seen()


def response_in(data: bytes) -> Raw:
    """The object inside an event of a stream; null where it has none."""
    try:
        return _decode_event(data).response
    except _UNDECODABLE:
        return _NULL


def items_in(raws: Iterable[Raw]) -> list[Item]:
    """What items say of themselves; an empty one for each that is no item."""
    return [_item(raw) for raw in raws]


def _item(raw: Raw) -> Item:
    try:
        return msgspec.json.decode(bytes(raw), type=Item)
    except _UNDECODABLE:
        return Item()


def cipher_name(cipher: str) -> str:
    """Under which it is remembered who wrote it."""
    return f"cipher:{hashlib.blake2b(cipher.encode(), digest_size=16).hexdigest()}"


def response_name(response_id: str) -> str:
    """Under which a response is kept. Ids are the caller's to write, so they are not names as they are."""
    return f"response:{hashlib.blake2b(response_id.encode(), digest_size=16).hexdigest()}"


def packed_place(place: Place) -> bytes:
    return b"%d %b" % (place.size_bytes, place.response_id.encode())


def unpacked_place(data: bytes) -> Place:
    """Of what is damaged: a place where nothing is kept."""
    size_bytes, _, response_id = data.partition(b" ")
    return Place(int(size_bytes), response_id.decode()) if size_bytes.isdigit() else Place()


def item_name(item_id: str) -> str:
    """Under which it is kept which response an item belongs to."""
    return f"item:{hashlib.blake2b(item_id.encode(), digest_size=16).hexdigest()}"
