"""What the router counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from trunkline_router.engine import Decision


class RouterMetrics:
    """Label values are the route names of the configuration and three outcomes: a closed set."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._decisions = Counter(
            "trunkline_router_decisions",
            "Requests decided, by virtual model and by what decided.",
            ("route", "outcome"),
            registry=registry,
        )
        self._unknown = Counter(
            "trunkline_router_unknown_routes", "Requests for a virtual model that is not configured.", registry=registry
        )
        self._routes = Gauge("trunkline_router_routes", "Virtual models in force.", registry=registry)

    def decided(self, route: str, decision: Decision) -> None:
        """Count one decision as `rule`, `otherwise` or `abstained`."""
        outcome = "rule" if decision.rule is not None else "abstained" if decision.abstained else "otherwise"
        self._decisions.labels(route, outcome).inc()

    def unknown_route(self) -> None:
        self._unknown.inc()

    def loaded(self, routes: int) -> None:
        self._routes.set(routes)
