"""The part of the settings that is about money spent: prices, and where usage is written down."""

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from trunkline_kit.tenants import Count, Seconds

Usd = Annotated[float, Meta(ge=0, le=1_000_000)]
"""Up to a dollar a token: so what one attempt costs always fits the books, which end at 9.2 billion dollars."""
SecondUsd = Annotated[float, Meta(ge=0, le=1_000)]
"""For the same reason; enough for an attempt of months."""
Sharers = Annotated[int, Meta(ge=1, le=1_000_000)]


class PriceOverride(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider charges us for a model, in dollars per million tokens.

    Needs one of input_usd, output_usd, request_usd and gpu_second_usd: what is free is said so, by 0. Of several that
    fit, those for the team of the request go before those for all, a model's name before globs, a longer beginning
    before a shorter one; then the first holds.
    """

    provider: str
    model: str = "*"
    """A glob over the provider's names of models."""
    team: str | None = None
    """For requests of this team only; left out, for all."""
    input_usd: Usd | None = None
    """Left out: 0, where another price is given."""
    output_usd: Usd | None = None
    """The same."""
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
    request_usd: Usd | None = None
    """For each request, on top."""
    gpu_second_usd: SecondUsd | None = None
    """For each second that an attempt takes, divided by `gpu_requests`, on top."""
    gpu_requests: Sharers = 1
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
    """A folder for what the stores cannot take at the moment, and for a journal of what is in flight, 8 MB a process.
    One for each database. Left out, one of this user and this database where temporary files go."""
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
