"""Numbers of tokens. Labels are closed sets: faults, and names of the configuration."""

from collections.abc import Callable
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge

from trunkline_gateway.oidc.refusals import Fault

RESULTS = ("ok", "cached", "no_team", "unavailable", *(fault.value for fault in Fault))


class TokenMeters:
    """Everything that is counted of tokens."""

    def __init__(self, registry: CollectorRegistry) -> None:
        checks = Counter(
            "trunkline_gateway_oidc_checks",
            "Tokens that came, by what became of them: ok, cached, or why they were not taken.",
            ("result",),
            registry=registry,
        )
        self._checks = {result: checks.labels(result) for result in RESULTS}
        self.cached = self._checks["cached"]
        self._fetches = Counter(
            "trunkline_gateway_oidc_fetches", "Fetches of an issuer's keys.", ("provider", "result"), registry=registry
        )
        self._age = Gauge(
            "trunkline_gateway_oidc_keys_age_seconds",
            "Since an issuer's keys were last fetched.",
            ("provider",),
            registry=registry,
        )

    def checked(self, result: str) -> None:
        """One of RESULTS."""
        self._checks[result].inc()

    def fetched(self, provider: str, *, good: bool) -> None:
        self._fetches.labels(provider, "ok" if good else "failed").inc()

    def watch_age(self, provider: str, age_s: Callable[[], float]) -> None:
        self._age.labels(provider).set_function(age_s)

    def forget(self, provider: str) -> None:
        """It is gone from the configuration."""
        with suppress(KeyError):
            self._age.remove(provider)
