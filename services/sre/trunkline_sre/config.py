"""What the sre service takes from `trunkline.yaml`, and the bounds of its memory."""

from typing import Annotated

from msgspec import Meta, Struct

from trunkline_kit.settings import Settings

MEBIBYTE = 1024 * 1024
Count = Annotated[int, Meta(ge=1)]


class Bounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is kept. Past a bound, the trace that was silent longest is dropped as a whole."""

    traces_limit: Count = 2000
    trace_spans_limit: Count = 512
    """Further spans of one trace are refused and counted."""
    memory_limit_bytes: Count = 64 * MEBIBYTE
    """All spans together, bookkeeping included."""


class SpanLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of one span; the rest is cut off."""

    attributes: Count = 64
    text_chars: Count = 1024
    """Of a name, a message, an attribute's key or value."""


class SreConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the sre service listens and how much it keeps."""

    listen: str
    """`host:port`, `unix:/path` or `local:name`."""
    bounds: Bounds = Bounds()
    span_limits: SpanLimits = SpanLimits()

    @classmethod
    def from_settings(cls, settings: Settings, *, listen: str | None = None) -> "SreConfig":
        """The service's part of the file; `listen` in place of `listen.grpc` when it shares a process."""
        return cls(listen=listen or settings.listen.grpc, bounds=bounds_of(settings))


def bounds_of(settings: Settings) -> Bounds:
    """The bounds that `settings` asks for."""
    return Bounds(traces_limit=settings.telemetry.kept_traces)
