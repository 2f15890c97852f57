"""What worker providers share."""

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.providers.worker import open_workers
from trunkline_gateway.replicas.opening import SharedReplicas, open_crew
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ConfigError
from trunkline_kit.parts import Kit
from trunkline_kit.providers import ReplicaRule, WorkerProvider
from trunkline_kit.rpc import Net
from trunkline_kit.tracing import Tracing


@pytest.fixture
def shared():
    registry = CollectorRegistry()
    return SharedReplicas(Kit(net=Net(), clock=ManualClock(), tracing=Tracing(), metrics=registry, environment={}))


async def test_two_providers_are_counted_together_and_have_tasks_of_their_own(shared):
    async with open_crew() as one, open_crew() as other:
        first, second = shared.parts(one), shared.parts(other)
        assert first.meters is second.meters
        assert first.crew is not second.crew


@pytest.mark.parametrize("balance", ReplicaRule)
async def test_a_pool_finds_the_replicas_of_its_model_at_once(shared, balance):
    settings = WorkerProvider(target="local:worker-{model}", balance=balance)
    async with open_crew() as crew:
        pool = shared.pool(("w", "tiny"), settings, shared.parts(crew))
        await pool.ready(1.0)
        assert [replica.address for replica in pool.replicas] == ["local:worker-tiny"]
        assert (pool.place, pool.balance) == (("w", "tiny"), balance.value)


async def test_a_target_that_cannot_be_followed_here_is_named_at_the_start(shared):
    shared.check(WorkerProvider())
    with pytest.raises(ConfigError, match="needs a pod"):
        async with open_workers("w", WorkerProvider(target="k8s:///ai/worker-{model}:grpc"), shared):
            pass
