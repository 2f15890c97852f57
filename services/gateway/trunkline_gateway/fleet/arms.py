"""What is counted of models with a canary: both arms apart. Labels are names of the configuration and enums."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from trunkline_gateway.turn import Turn

FAILED_OVER = "failed_over"
"""The outcome for an arm whose request another deployment had to answer."""
_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class AnswerTimes:
    """How long answers of one sort took, and their first tokens: what deployments are compared by."""

    def __init__(self, sort: str, labels: tuple[str, ...], registry: CollectorRegistry) -> None:
        self._duration = Histogram(
            f"trunkline_gateway_{sort}_duration_seconds",
            "From the request's head to the last byte of its answer.",
            labels,
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._first_token = Histogram(
            f"trunkline_gateway_{sort}_time_to_first_token_seconds",
            "From the request's head to the first meaningful event of a stream.",
            labels,
            buckets=_BUCKETS_S,
            registry=registry,
        )

    def observe(self, labels: tuple[str, ...], took_s: float, first_token_s: float | None) -> None:
        """`first_token_s`: None where there was none."""
        self._duration.labels(*labels).observe(took_s)
        if first_token_s is not None:
            self._first_token.labels(*labels).observe(first_token_s)


class ArmMeters:
    """One for each gateway process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "trunkline_gateway_canary_requests",
            "Requests for models with a canary, by the arm that was drawn and how they ended for it.",
            ("model", "arm", "outcome"),
            registry=registry,
        )
        self._times = AnswerTimes("canary", ("model", "arm"), registry)

    def settle(self, turn: Turn, took_s: float) -> None:
        """Count a request that is over; nothing where its model has no canary."""
        if not (turn.tried and turn.tried[0].target.arm):
            return
        drawn = turn.tried[0].target
        outcome = turn.outcome if turn.final.target.place == drawn.place else FAILED_OVER
        self._requests.labels(drawn.model, drawn.arm, outcome).inc()
        self._times.observe((drawn.model, drawn.arm), took_s, turn.first_token_s)
