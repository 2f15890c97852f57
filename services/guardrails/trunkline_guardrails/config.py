"""What the guardrails take from `trunkline.yaml`."""

from typing import Annotated

from msgspec import Meta, Struct

from trunkline_kit.settings import Policy, Settings


class GuardrailsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the guardrails listen and what they check."""

    listen: str
    """`host:port`, `unix:/path` or `local:name`."""
    policies: dict[str, Policy] = {}
    findings_limit: Annotated[int, Meta(ge=1)] = 200
    """Findings of one request. Scanning stops there, and what was to be redacted is blocked instead."""
    inline_limit_bytes: Annotated[int, Meta(ge=0)] = 128 * 1024
    """Requests with more text are checked on a thread, so that other calls go on meanwhile."""

    @classmethod
    def from_settings(cls, settings: Settings, *, listen: str | None = None) -> "GuardrailsConfig":
        """The guardrails' part of the file; `listen` in place of `listen.grpc` when they share a process."""
        return cls(listen=listen or settings.listen.grpc, policies=settings.policies)
