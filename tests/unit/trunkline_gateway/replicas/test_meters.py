"""What is counted of replicas."""

from collections import Counter

from prometheus_client import CollectorRegistry

from trunkline_gateway.replicas.meters import ReplicaMeters
from trunkline_gateway.replicas.replica import State


def test_pools_are_shown_while_they_are_watched():
    registry = CollectorRegistry()
    meters = ReplicaMeters(registry)

    def census():
        return ("w", "m"), Counter({State.READY: 2, State.LOST: 1})

    def shown(state):
        labels = {"provider": "w", "model": "m", "state": state}
        return registry.get_sample_value("trunkline_gateway_replicas", labels)

    meters.watch(census)
    assert (shown("ready"), shown("lost"), shown("leaving")) == (2, 1, 0)
    meters.forget(census)
    assert shown("ready") is None


def test_resends_and_ejections():
    registry = CollectorRegistry()
    meters = ReplicaMeters(registry)
    meters.resent(("w", "m"), "failed")
    meters.ejected(("w", "m"))
    of = {"provider": "w", "model": "m"}
    assert registry.get_sample_value("trunkline_gateway_replica_resends_total", {**of, "cause": "failed"}) == 1
    assert registry.get_sample_value("trunkline_gateway_replica_ejections_total", of) == 1
