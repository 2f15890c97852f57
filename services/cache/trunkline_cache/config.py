"""What the cache takes from `trunkline.yaml`, and the bounds of its memory."""

from typing import Annotated

from msgspec import Meta, Struct

from trunkline_kit.settings import Settings

MEBIBYTE = 1024 * 1024
Count = Annotated[int, Meta(ge=1)]


class Bounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much the cache may hold. Past a bound, the entry that was not asked for longest goes first."""

    memory_limit_bytes: Count = 64 * MEBIBYTE
    """All entries together, keys and bookkeeping included."""
    entries_limit: Count = 100_000
    entry_limit_bytes: Count = MEBIBYTE
    """A larger answer is not stored; `too-large`."""
    counted_scopes_limit: Count = 4096
    """Scopes whose hits and misses are counted apart; the one unseen longest starts again from zero."""


class CacheConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the cache listens and how much it holds."""

    listen: str
    """`host:port`, `unix:/path` or `local:name`."""
    bounds: Bounds = Bounds()
    ignored: tuple[str, ...] = ()
    """What the file asks for in vain; said once, at start."""

    @classmethod
    def from_settings(cls, settings: Settings, *, listen: str | None = None) -> "CacheConfig":
        """The cache's part of the file; `listen` in place of `listen.grpc` when it shares a process."""
        return cls(listen=listen or settings.listen.grpc, ignored=tuple(without_effect(settings)))


def without_effect(settings: Settings) -> list[str]:
    """What the policies ask for and this version does not do, one line each, with its path in the file."""
    return [
        f"policies.{name}.cache.semantic: this version caches exact requests only; nothing is answered by meaning"
        for name, policy in settings.policies.items()
        if policy.cache.semantic is not None
    ]
