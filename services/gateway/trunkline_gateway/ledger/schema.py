"""The ledger's tables. Rows are in one partition for each month of `started_at`, UTC."""

from datetime import UTC, datetime

from trunkline_kit.migrations import Migration

COMPONENT = "usage"
TABLE = "usage_attempts"

MIGRATIONS = (
    Migration(
        number=1,
        name="usage_attempts",
        sql="""
CREATE TABLE usage_attempts (
    attempt_id uuid NOT NULL,
    started_at timestamptz NOT NULL,
    request_id text NOT NULL,
    attempt smallint NOT NULL,
    org text NOT NULL,
    team text NOT NULL,
    key_id text NOT NULL,
    surface text NOT NULL,
    model_asked text NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    provider_model text NOT NULL,
    route text NOT NULL,
    uncached_input_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    usage_source text NOT NULL,
    price_version text NOT NULL,
    cost_nusd bigint NOT NULL,
    unpriced boolean NOT NULL,
    latency_us bigint NOT NULL,
    ttft_us bigint,
    outcome text NOT NULL,
    streamed boolean NOT NULL,
    cache text NOT NULL,
    guardrails text NOT NULL,
    trace_id text NOT NULL,
    project text NOT NULL,
    end_user text NOT NULL,
    PRIMARY KEY (started_at, attempt_id)
) PARTITION BY RANGE (started_at);
CREATE INDEX usage_attempts_team ON usage_attempts (team, started_at);
CREATE INDEX usage_attempts_request ON usage_attempts (request_id);
COMMENT ON TABLE usage_attempts IS 'One row for each attempt at a provider. Append only. Money is in nano-dollars.';
""",
    ),
    # Constant defaults: Postgres (11 or newer) rewrites no rows for them, and an older gateway goes on inserting.
    Migration(
        number=2,
        name="tags_reason_audio_images",
        sql="""
ALTER TABLE usage_attempts
    ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
    ADD COLUMN reason text NOT NULL DEFAULT '',
    ADD COLUMN audio_input_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN audio_output_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN image_input_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN image_output_tokens bigint NOT NULL DEFAULT 0;
""",
    ),
    Migration(
        number=3,
        name="search_units",
        sql="""
ALTER TABLE usage_attempts
    ADD COLUMN search_units bigint NOT NULL DEFAULT 0;
""",
    ),
)


class Month:
    """A partition: its name and its bounds."""

    def __init__(self, year: int, month: int) -> None:
        self.name = f"{TABLE}_{year:04d}_{month:02d}"
        self.begins = datetime(year, month, 1, tzinfo=UTC)
        self.ends = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)

    @classmethod
    def of(cls, moment: datetime) -> "Month":
        """The month that `moment` is in."""
        utc = moment.astimezone(UTC)
        return cls(utc.year, utc.month)

    @classmethod
    def named(cls, name: str) -> "Month | None":
        """The inverse of `name`; None for a table that is no partition of ours."""
        year, _, month = name.removeprefix(f"{TABLE}_").partition("_")
        if not name.startswith(TABLE) or not (year.isdigit() and month.isdigit() and 1 <= int(month) <= 12):
            return None
        return cls(int(year), int(month))

    def next(self) -> "Month":
        return Month.of(self.ends)

    def create_sql(self) -> str:
        """Names and bounds are made of numbers only."""
        begins, ends = self.begins.isoformat(), self.ends.isoformat()
        return f"CREATE TABLE IF NOT EXISTS {self.name} PARTITION OF {TABLE} FOR VALUES FROM ('{begins}') TO ('{ends}')"

    def drop_sql(self) -> str:
        return f"DROP TABLE IF EXISTS {self.name}"
