"""Events on their way to a client, by name where the dialect has names."""

from collections.abc import Iterable

import msgspec

from trunkline_gateway.sse import event


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One event of a stream: its JSON, and its name in dialects that name their events."""

    data: bytes
    name: str = ""


def wire(frames: Iterable[Frame]) -> bytes:
    """The frames as one write."""
    return b"".join([_named(frame) if frame.name else event(frame.data) for frame in frames])


def _named(frame: Frame) -> bytes:
    return b"event: " + frame.name.encode() + b"\n" + event(frame.data)


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the gateway says of an answer in the provider's stead."""

    id: str = ""
    """Empty for the provider's."""
    spare_id: str = ""
    """Where the provider has none either."""
    model: str = ""
    """As the caller named it; empty for the provider's."""
    created: int = 0
    """Unix seconds: when the request came. Used where the provider does not say."""
    usage_in_stream: bool = True
    """Whether the caller wants it there; dialects that always have it there do not ask."""

    def id_of(self, provider_id: str) -> str:
        """What the answer is called."""
        return self.id or provider_id or self.spare_id
