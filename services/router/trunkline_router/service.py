"""`trunkline.router.v1` over the engine: decode, decide, encode."""

from typing import Any

import msgspec

from trunkline.router.v1 import router_service_pb2 as pb
from trunkline.router.v1 import router_service_pb2_grpc as rpc
from trunkline_kit.errors import InvalidRequest, ModelNotFound
from trunkline_kit.settings import Route
from trunkline_router.config import version_of
from trunkline_router.engine import Decision, Outcome, Signals, decide
from trunkline_router.metrics import RouterMetrics

NO_CLASSIFIER = "no classifier loaded"
NO_SIGNALS = Signals()
"""All that this version knows of a request."""


class RouteTable(msgspec.Struct, frozen=True):
    """The routes in force, with the version that names them. Replaced as a whole."""

    routes: dict[str, Route]
    version: str

    @classmethod
    def of(cls, routes: dict[str, Route]) -> "RouteTable":
        return cls(routes, version_of(routes))


class RouterService(rpc.RouterServiceServicer):
    """Holds one table; a call sees one version of it from beginning to end."""

    def __init__(self, table: RouteTable, metrics: RouterMetrics) -> None:
        self._table = table
        self._metrics = metrics
        metrics.loaded(len(table.routes))

    def use(self, table: RouteTable) -> None:
        """Decide by `table` from the next call on."""
        self._table = table
        self._metrics.loaded(len(table.routes))

    async def Analyze(self, request: pb.AnalyzeRequest, context: Any) -> pb.AnalyzeResponse:  # noqa: ARG002, N802
        table = self._table
        return _response(self._decide(table, request), table)

    async def Explain(self, request: pb.ExplainRequest, context: Any) -> pb.ExplainResponse:  # noqa: ARG002, N802
        """The decision with all rules. Not counted among the decisions: nothing is sent anywhere."""
        table = self._table
        decision = decide(_route(table, request.request.route_set), NO_SIGNALS)
        return pb.ExplainResponse(response=_response(decision, table), rules=_traces(decision))

    async def Reload(self, request: pb.ReloadRequest, context: Any) -> pb.ReloadResponse:  # noqa: ARG002, N802
        """Names what is in force. The process watches its configuration itself; there are no model files to read."""
        return pb.ReloadResponse(versions=pb.Versions(config=self._table.version))

    def _decide(self, table: RouteTable, request: pb.AnalyzeRequest) -> Decision:
        try:
            decision = decide(_route(table, request.route_set), NO_SIGNALS)
        except ModelNotFound:
            self._metrics.unknown_route()
            raise
        self._metrics.decided(request.route_set, decision)
        return decision


def _route(table: RouteTable, name: str) -> Route:
    if not name:
        raise InvalidRequest("route_set is empty; name a virtual model of `routes:`", param="route_set")
    route = table.routes.get(name)
    if route is None:
        raise ModelNotFound(f"no virtual model `{name}`; see `routes:` in the configuration", param="route_set")
    return route


def _response(decision: Decision, table: RouteTable) -> pb.AnalyzeResponse:
    undecided = any(verdict.outcome is Outcome.UNKNOWN for verdict in decision.verdicts[: decision.rule])
    notes = [NO_CLASSIFIER] if undecided else []
    return pb.AnalyzeResponse(
        abstained=decision.abstained,
        decision=decision.models,
        reasons=[*decision.reasons, *notes],
        versions=pb.Versions(config=table.version),
    )


def _traces(decision: Decision) -> list[pb.RuleTrace]:
    traces = []
    for index, verdict in enumerate(decision.verdicts):
        late = decision.rule is not None and index > decision.rule
        because = f"{verdict.because} (rule {decision.rule} came first)" if late else verdict.because
        traces.append(pb.RuleTrace(index=index, matched=verdict.outcome is Outcome.HOLDS, because=because))
    return traces
