"""What is counted of replicas. Labels are names of the configuration and enums; never addresses, which come and go."""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trunkline_gateway.fleet.meters import Place
from trunkline_gateway.replicas.replica import State

Census = Callable[[], tuple[Place, Counts[State]]]


class ReplicaMeters:
    """One for each gateway process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._resends = Counter(
            "trunkline_gateway_replica_resends",
            "Requests that were sent to another replica because the first one failed, was full or fell silent.",
            ("provider", "model", "cause"),
            registry=registry,
        )
        self._resumes = Counter(
            "trunkline_gateway_replica_resumes",
            "Answers that another replica was asked to go on with after they had begun.",
            ("provider", "model"),
            registry=registry,
        )
        self._ejections = Counter(
            "trunkline_gateway_replica_ejections",
            "Times that a replica was left out for a while because it did markedly worse than the others.",
            ("provider", "model"),
            registry=registry,
        )
        self._pools: list[Census] = []
        registry.register(_States(self._pools))

    def resent(self, place: Place, cause: str) -> None:
        self._resends.labels(*place, cause).inc()

    def resumed(self, place: Place) -> None:
        self._resumes.labels(*place).inc()

    def ejected(self, place: Place) -> None:
        self._ejections.labels(*place).inc()

    def watch(self, census: Census) -> None:
        """From now on show these replicas, as they are whenever somebody looks."""
        self._pools.append(census)

    def forget(self, census: Census) -> None:
        self._pools.remove(census)


class _States(Collector):
    def __init__(self, pools: Iterable[Census]) -> None:
        self._pools = pools

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "trunkline_gateway_replicas", "Replicas of a worker, by state.", labels=("provider", "model", "state")
        )
        for census in list(self._pools):
            place, counts = census()
            for state in State:
                states.add_metric((*place, state.value), counts[state])
        yield states
