"""Arms are counted by what was drawn, whoever answered in the end."""

from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.fleet.arms import FAILED_OVER, ArmMeters
from trunkline_gateway.plan import CANARY, STABLE, Target
from trunkline_gateway.turn import Tried

NEW, OLD = Target("m", "new", "x", arm=CANARY), Target("m", "old", "x", arm=STABLE)
PLAIN = Target("m", "old", "x")


@pytest.fixture
def registry():
    return CollectorRegistry()


def turn(*targets, outcome="ok", first_token_s=None):
    tried = [Tried(target=target, started_s=0.0) for target in targets]
    final = tried[-1] if tried else None
    return SimpleNamespace(tried=tried, final=final, outcome=outcome, first_token_s=first_token_s)


def counted(registry, arm, outcome):
    labels = {"model": "m", "arm": arm, "outcome": outcome}
    return registry.get_sample_value("trunkline_gateway_canary_requests_total", labels)


def test_each_arm_by_itself(registry):
    meters = ArmMeters(registry)
    meters.settle(turn(NEW, first_token_s=0.1), 1.0)
    meters.settle(turn(OLD, outcome="broken"), 2.0)
    assert (counted(registry, CANARY, "ok"), counted(registry, STABLE, "broken")) == (1, 1)
    timed = {"model": "m", "arm": CANARY}
    assert registry.get_sample_value("trunkline_gateway_canary_duration_seconds_sum", timed) == 1.0
    assert registry.get_sample_value("trunkline_gateway_canary_time_to_first_token_seconds_sum", timed) == 0.1


def test_one_that_another_had_to_answer_has_failed(registry):
    ArmMeters(registry).settle(turn(NEW, OLD), 1.0)
    assert counted(registry, CANARY, FAILED_OVER) == 1
    assert counted(registry, STABLE, "ok") is None


@pytest.mark.parametrize("other", [turn(), turn(PLAIN)], ids=["never sent", "no canary"])
def test_the_rest_is_not_counted(registry, other):
    ArmMeters(registry).settle(other, 1.0)
    assert counted(registry, CANARY, "ok") is None
