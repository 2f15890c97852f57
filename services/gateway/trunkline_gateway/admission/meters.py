"""Numbers of admission and of its queue. Labels are closed sets."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class AdmissionMeters:
    """Everything that admission counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._decisions = Counter(
            "trunkline_gateway_admissions",
            "Requests under a limit or budget: admitted, refused by what, or decided without the store.",
            ("result", "level"),
            registry=registry,
        )
        self._up = Gauge(
            "trunkline_gateway_limit_store_up", "Whether all of the store of limits answers in time.", registry=registry
        )
        self._down: set[str] = set()
        self._waiting: dict[str, int] = {}
        self._backlog = Gauge(
            "trunkline_gateway_settlements_waiting", "Settlements that wait for the store.", registry=registry
        )
        self.lost = Counter(
            "trunkline_gateway_settlements_lost",
            "Settlements given up because too many waited; their reservations run out by themselves.",
            registry=registry,
        )
        self.batches = Histogram(
            "trunkline_gateway_limit_store_batch_operations",
            "Operations per call to the store.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self.store_up(up=False)

    def decided(self, result: str, level: str = "") -> None:
        """Results: admitted, refused_*, degraded, closed. Levels are those of `levels.Level`."""
        self._decisions.labels(result, level).inc()

    def store_up(self, *, up: bool, lane: str = "") -> None:
        """`lane` is a node of a cluster."""
        if up:
            self._down.discard(lane)
        else:
            self._down.add(lane)
        self._up.set(0 if self._down else 1)

    def settlements_wait(self, count: int, lane: str = "") -> None:
        self._waiting[lane] = count
        self._backlog.set(sum(self._waiting.values()))

    def forget(self, lane: str) -> None:
        """A node that has left."""
        self._down.discard(lane)
        self._waiting.pop(lane, None)
        self._up.set(0 if self._down else 1)
        self._backlog.set(sum(self._waiting.values()))


class QueueMeters:
    """Of those who wait for room."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.length = Gauge("trunkline_gateway_queued_requests", "Requests that wait for room.", registry=registry)
        self._ended = Counter(
            "trunkline_gateway_queue_ends",
            "Requests that waited or wanted to: admitted, late (waited in vain), left (the caller did), hopeless (could"
            " not fit in time), full (no place in the queue).",
            ("outcome",),
            registry=registry,
        )
        self._wait = Histogram(
            "trunkline_gateway_queue_wait_seconds",
            "How long requests have waited.",
            ("outcome",),
            buckets=(0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60),
            registry=registry,
        )

    def ended(self, outcome: str, waited_s: float | None = None) -> None:
        """`waited_s` None for what was not let into the queue."""
        self._ended.labels(outcome).inc()
        if waited_s is not None:
            self._wait.labels(outcome).observe(waited_s)
