from prometheus_client import CollectorRegistry

from trunkline_kit.settings import Route, Rule, When
from trunkline_router.engine import Signals, decide
from trunkline_router.metrics import RouterMetrics


def test_decisions_are_counted_by_what_decided():
    registry = CollectorRegistry()
    metrics = RouterMetrics(registry)
    code = Rule(when=When(intent=("code",)), to=("a",))
    for route, seen in (
        (Route(otherwise=("b",)), Signals()),
        (Route(rules=(code,), otherwise=("b",)), Signals()),
        (Route(rules=(code,), otherwise=("b",)), Signals(intent="code")),
    ):
        metrics.decided("auto", decide(route, seen))
    for outcome in ("otherwise", "abstained", "rule"):
        labels = {"route": "auto", "outcome": outcome}
        assert registry.get_sample_value("trunkline_router_decisions_total", labels) == 1
