"""Settings of what goes on around attempts: requests sent twice, and requests copied."""

from typing import Annotated

from msgspec import Meta, Struct

from trunkline_kit.tenants import Count, Seconds


class Idempotency(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the header `idempotency-key` does: the same request sent again gets the same answer, paid once."""

    enabled: bool = True
    ttl_s: Seconds = 600.0
    """How long a finished answer is given again."""
    wait_s: Seconds = 30.0
    """How long a request waits for the same one at another gateway; then 409 with Retry-After."""
    answer_bytes_max: Count = 4 * 1024 * 1024
    """A larger answer is not kept."""
    memory_bytes: Count = 64 * 1024 * 1024
    """For answers kept in this process, where there is no Valkey or it is away; the oldest go first."""


class Shadow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A deployment that gets copies of requests. Nobody sees its answers, nor waits for them."""

    provider: str
    model: str
    """The model's name at the provider."""
    ratio: Annotated[float, Meta(gt=0, le=1)] = 0.05
    """Of the requests that were answered."""
    concurrent: Count = 8
    """Copies under way at once, per gateway process; a request that comes when there are as many is not copied."""
