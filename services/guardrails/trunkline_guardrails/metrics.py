"""What the guardrails count."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from trunkline_guardrails.verdict import Verdict

_BUCKETS_S = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)


class GuardrailsMetrics:
    """Label values are actions, and the kinds of the rules: closed sets. Policies and tenants are never labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._verdicts = Counter(
            "trunkline_guardrails_input_verdicts", "Inputs checked, by action.", ("action",), registry=registry
        )
        self._findings = Counter(
            "trunkline_guardrails_findings", "Objections, by check and kind.", ("check", "kind"), registry=registry
        )
        self._scanned = Counter("trunkline_guardrails_scanned_bytes", "Text looked at.", registry=registry)
        self._seconds = Histogram(
            "trunkline_guardrails_input_seconds", "Time the checks took.", registry=registry, buckets=_BUCKETS_S
        )
        self._streams = Counter(
            "trunkline_guardrails_output_streams",
            "Answers passed through; this version has no checks of the output.",
            registry=registry,
        )
        self._unenforced = Gauge(
            "trunkline_guardrails_unenforced_checks", "Checks configured that do not run.", registry=registry
        )

    def checked(self, verdict: Verdict, took_s: float) -> None:
        self._verdicts.labels(verdict.action.name.lower()).inc()
        self._scanned.inc(verdict.scanned_bytes)
        self._seconds.observe(took_s)
        for finding in verdict.findings:
            self._findings.labels(finding.check, finding.kind).inc()

    def passed_through(self) -> None:
        self._streams.inc()

    def loaded(self, unenforced: int) -> None:
        self._unenforced.set(unenforced)
