"""What the ledger counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge

PATHS = ("stream", "direct", "spool", "lost")
RESULTS = ("new", "known", "unfit", "unreadable")
MISSED = ("full", "unfit")
SWEPT = ("settled", "lost", "damaged")


class LedgerMeters:
    """One for each gateway process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._taken = Counter(
            "trunkline_ledger_rows", "Usage rows by where they went first.", ["path"], registry=registry
        )
        self._written = Counter(
            "trunkline_ledger_written", "Usage rows that reached Postgres, or cannot.", ["result"], registry=registry
        )
        self.replayed = Counter("trunkline_ledger_replayed", "Batches replayed from the spool.", registry=registry)
        self.spool_bytes = Gauge("trunkline_ledger_spool_bytes", "Bytes waiting on disk.", registry=registry)
        self.spool_limit_bytes = Gauge("trunkline_ledger_spool_limit_bytes", "Bound of the spool.", registry=registry)
        self.stream_entries = Gauge("trunkline_ledger_stream_entries", "Batches waiting in Valkey.", registry=registry)
        self.waiting_rows = Gauge("trunkline_ledger_waiting_rows", "Rows in memory, not yet sent.", registry=registry)
        self._up = Gauge(
            "trunkline_ledger_store_up", "Whether the store took the last batch.", ["store"], registry=registry
        )
        for path in PATHS:
            self._taken.labels(path)
        for result in RESULTS:
            self._written.labels(result)

    def taken(self, path: str, rows: int) -> None:
        """`rows` went this way first."""
        self._taken.labels(path).inc(rows)

    def written(self, result: str, rows: int) -> None:
        """What came of `rows` at Postgres."""
        self._written.labels(result).inc(rows)

    def up(self, store: str, *, is_up: bool) -> None:
        """`valkey` or `postgres` took, or did not take, what it was given."""
        self._up.labels(store).set(is_up)


class JournalMeters:
    """What the journal of attempts in flight counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.slots = Gauge("trunkline_ledger_journal_slots", "Slots of this process's journal.", registry=registry)
        self.used = Gauge(
            "trunkline_ledger_journal_slots_used",
            "Attempts in flight, and rows that are not yet in a store or on disk.",
            registry=registry,
        )
        self._missed = Counter(
            "trunkline_ledger_journal_missed",
            "Rows that were not in the journal: a SIGKILL would have lost them.",
            ["why"],
            registry=registry,
        )
        self.cut = Counter(
            "trunkline_ledger_journal_cut",
            "Rows too long for the journal: of them a SIGKILL would leave cut names and tags.",
            registry=registry,
        )
        for why in MISSED:
            self._missed.labels(why)

    def missed(self, why: str) -> None:
        """A row that is not in the journal."""
        self._missed.labels(why).inc()


class SweepMeters:
    """What the sweeper counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._swept = Counter(
            "trunkline_ledger_swept",
            "Rows of gateways that were killed: settled, lost in flight and estimated, damaged.",
            ["kind"],
            registry=registry,
        )
        for kind in SWEPT:
            self._swept.labels(kind)

    def swept(self, kind: str, rows: int) -> None:
        """Rows that another process left."""
        self._swept.labels(kind).inc(rows)
