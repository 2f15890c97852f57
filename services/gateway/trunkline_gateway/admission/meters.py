"""Numbers of admission. Labels are closed sets."""

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
            "trunkline_gateway_limit_store_up", "Whether the store of limits answers in time.", registry=registry
        )
        self.backlog = Gauge(
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

    def store_up(self, *, up: bool) -> None:
        self._up.set(1 if up else 0)
