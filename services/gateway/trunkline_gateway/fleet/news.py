"""What one gateway tells the others about deployments and accounts, and how that looks on the way. Pure."""

from enum import Enum

import msgspec

Place = tuple[str, str]
"""A provider of the configuration and its name of a model."""


class Kind(Enum):
    """The value is on the wire and in metrics."""

    OPENED = "opened"
    CLOSED = "closed"
    ACCOUNT = "account"


class News(msgspec.Struct, frozen=True):
    """Something that was seen. Moments are on the clock of whoever has it in hand."""

    kind: Kind
    place: Place
    """Of an account without a model."""
    at_s: float
    until_s: float

    def moved(self, by_s: float) -> "News":
        """On another clock, which shows so much more."""
        return News(self.kind, self.place, self.at_s + by_s, self.until_s + by_s)

    @property
    def subject(self) -> bytes:
        """There is one piece of news for each; a later one takes the place of the one before."""
        what = "account" if self.kind is Kind.ACCOUNT else "deployment"
        return _encode_subject((what, *self.place))


class Report(msgspec.Struct, frozen=True, array_like=True):
    """News as a gateway has written it down, on the store's clock."""

    gateway: str
    news: News


_encode_subject = msgspec.json.Encoder().encode
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Report).decode


def encode_report(report: Report) -> bytes:
    return _encode(report)


def decode_report(data: bytes) -> Report | None:
    """None for what is not one of ours: another version may write otherwise."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
