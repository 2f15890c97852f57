from prometheus_client import CollectorRegistry

from trunkline_guardrails.metrics import GuardrailsMetrics
from trunkline_guardrails.policy import Action
from trunkline_guardrails.verdict import Finding, Verdict


def test_verdicts_findings_and_time_are_counted():
    registry = CollectorRegistry()
    metrics = GuardrailsMetrics(registry)
    found = Finding(check="secrets", kind="jwt", action=Action.FLAG, path="/a", start_chars=0, end_chars=9)
    metrics.checked(Verdict(action=Action.FLAG, findings=(found,), scanned_bytes=100), 0.0002)
    metrics.passed_through()
    metrics.loaded(2)
    value = registry.get_sample_value
    assert value("trunkline_guardrails_input_verdicts_total", {"action": "flag"}) == 1
    assert value("trunkline_guardrails_findings_total", {"check": "secrets", "kind": "jwt"}) == 1
    assert value("trunkline_guardrails_scanned_bytes_total") == 100
    assert value("trunkline_guardrails_input_seconds_bucket", {"le": "0.00025"}) == 1
    assert value("trunkline_guardrails_output_streams_total") == 1
    assert value("trunkline_guardrails_unenforced_checks") == 2
