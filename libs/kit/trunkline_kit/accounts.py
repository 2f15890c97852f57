"""The part of the settings that is about money spent: prices, and where usage is written down."""

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from trunkline_kit.tenants import Count, Seconds

Usd = Annotated[float, Meta(ge=0)]


class PriceOverride(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider charges us for a model, in dollars per million tokens.

    The first entry that fits holds; those for the team of the request go before those for all.
    """

    provider: str
    model: str = "*"
    """A glob over the provider's names of models."""
    team: str | None = None
    """For requests of this team only; left out, for all."""
    input_usd: Usd = 0.0
    output_usd: Usd = 0.0
    cache_read_usd: Usd | None = None
    """Left out: as input."""
    cache_write_usd: Usd | None = None
    """Left out: as input."""
    reasoning_usd: Usd | None = None
    """Left out: as output."""
    audio_input_usd: Usd | None = None
    """Left out: as input."""
    image_input_usd: Usd | None = None
    """Left out: as input."""
    audio_output_usd: Usd | None = None
    """Left out: as output."""
    image_output_usd: Usd | None = None
    """Left out: as output."""
    request_usd: Usd = 0.0
    """For each request, on top."""
    gpu_second_usd: Usd = 0.0
    """For each second that an attempt takes, divided by `gpu_requests`, on top."""
    gpu_requests: Count = 1
    """How many requests share the GPU on average."""


class Unpriced(Enum):
    """What happens to a request for a model of which nobody knows the price."""

    ALLOW = "allow"
    REFUSE = "refuse"


class Prices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What requests cost. Own workers cost nothing unless they are priced here."""

    table: str | None = None
    """A file made by `trunkline prices import`; left out, the table that comes with Trunkline."""
    listed_as: dict[str, str] = {}
    """A provider here: its name in the table. Left out, it is found by its base URL."""
    overrides: tuple[PriceOverride, ...] = ()
    unpriced: Unpriced = Unpriced.ALLOW
    """Allowed requests are counted and marked `unpriced`, never booked as 0 dollars."""


class Ledger(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where usage is written down. Needs stores.database; stores.redis takes the load off it."""

    spool_dir: str | None = None
    """A folder for what the stores cannot take at the moment, and for a journal of what is in flight, 4 MB a process.
    Left out, one where temporary files go."""
    spool_limit_bytes: Count = 256 * 1024 * 1024
    """For the folder, journals apart. What does not fit is lost, counted, and said in the log."""
    stream_limit_entries: Count = 200_000
    """In Valkey, while Postgres is away; then the spool is used."""
    claim_after_s: Seconds = 30.0
    """After so long, what a gateway took out of Valkey and did not finish is taken over. Too short only costs work."""
    retention_days: Annotated[int, Meta(ge=31)] = 400
    """Older months are dropped."""
    migrate: bool = True
    """Bring the database's schema up to date at the start; false: only check that it is."""
