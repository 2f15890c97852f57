"""What is counted of deployments. Labels are names of the configuration and enums: closed sets."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trunkline_policy.breakers import Phase

Place = tuple[str, str]
"""A provider of the configuration and its name of a model."""
FAILURES, OUTLIER = "failures", "outlier"
CAUSES = (FAILURES, OUTLIER)
TOLD, ACCOUNT = "told", "account"
COOLDOWNS = (TOLD, ACCOUNT)
TAKEN, IGNORED = "taken", "ignored"
WON, LOST, FAILED, UNAFFORDABLE = "won", "lost", "failed", "over_budget"
HEDGES = (WON, LOST, FAILED, UNAFFORDABLE)
"""What comes of a hedge: it was faster; it was not; neither was; it could not be afforded."""


class FleetMeters:
    """One for each gateway process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._openings = Counter(
            "trunkline_gateway_breaker_openings",
            "Times that a breaker opened: after failures in a row, or because a deployment stood out.",
            ("provider", "model", "cause"),
            registry=registry,
        )
        self._cooldowns = Counter(
            "trunkline_gateway_cooldowns",
            "Times that a provider was left alone because it said so, or because its account cannot be used.",
            ("provider", "cause"),
            registry=registry,
        )
        self._hints = Counter(
            "trunkline_gateway_fleet_hints",
            "News of other gateways about deployments and accounts: taken, or known better here.",
            ("kind", "result"),
            registry=registry,
        )
        self.sharing_up = Gauge(
            "trunkline_gateway_fleet_sharing_up", "Whether news of other gateways come through.", registry=registry
        )
        self._hedges = Counter(
            "trunkline_gateway_hedges",
            "Second requests before the first token, by what came of them; over_budget: wanted, but not sent.",
            ("model", "result"),
            registry=registry,
        )

    def opened(self, place: Place, cause: str) -> None:
        self._openings.labels(*place, cause).inc()

    def cooled(self, provider: str, cause: str) -> None:
        self._cooldowns.labels(provider, cause).inc()

    def hinted(self, kind: str, *, taken: bool) -> None:
        self._hints.labels(kind, TAKEN if taken else IGNORED).inc()

    def hedged(self, model: str, result: str) -> None:
        self._hedges.labels(model, result).inc()

    def watch(self, phases: "Callable[[], Iterable[tuple[Place, Phase, int]]]") -> None:
        """From now on show these, as they are whenever somebody looks."""
        self._registry.register(_States(phases))


class _States(Collector):
    def __init__(self, phases: "Callable[[], Iterable[tuple[Place, Phase, int]]]") -> None:
        self._phases = phases

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "trunkline_gateway_breaker_state",
            "1 for the state that the breaker of a deployment is in.",
            labels=("provider", "model", "state"),
        )
        busy = GaugeMetricFamily(
            "trunkline_gateway_deployment_requests", "Requests a deployment works on.", labels=("provider", "model")
        )
        for place, now, in_flight in self._phases():
            for phase in Phase:
                states.add_metric((*place, phase.value), float(phase is now))
            busy.add_metric(place, in_flight)
        yield states
        yield busy
