import pytest
from prometheus_client import CollectorRegistry

from trunkline.router.v1 import router_service_pb2 as pb
from trunkline_kit.errors import InvalidRequest, ModelNotFound
from trunkline_kit.settings import Route, Rule, When
from trunkline_router.metrics import RouterMetrics
from trunkline_router.service import RouterService, RouteTable

CODE = Rule(when=When(intent=("code",)), to=("big",))
ANY = Rule(when=When(), to=("small", "big"))
LATE = Rule(when=When(complexity_below=0.2), to=("tiny",))
ROUTES = {
    "auto": Route(otherwise=("smollm2-135m",)),
    "clever": Route(rules=(CODE,), otherwise=("small",)),
    "mixed": Route(rules=(CODE, ANY, LATE), otherwise=("small",)),
}


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def service(registry):
    return RouterService(RouteTable.of(ROUTES), RouterMetrics(registry))


async def test_a_plain_virtual_model_is_resolved(service):
    reply = await service.Analyze(pb.AnalyzeRequest(route_set="auto"), None)
    assert (list(reply.decision), list(reply.reasons), reply.abstained) == (["smollm2-135m"], ["otherwise"], False)
    assert (reply.encoder_id, reply.vector_f32, list(reply.intents)) == ("", b"", [])
    assert not reply.HasField("complexity")
    assert not reply.HasField("injection_p")
    assert reply.versions.config
    assert reply.versions.classifier == ""


async def test_rules_that_need_a_classifier_are_passed_over_and_it_says_so(service):
    reply = await service.Analyze(pb.AnalyzeRequest(route_set="clever", want_vector=True), None)
    assert list(reply.decision) == ["small"]
    assert list(reply.reasons) == ["otherwise", "intent-unknown", "no classifier loaded"]
    assert reply.abstained


async def test_a_rule_without_conditions_decides(service):
    reply = await service.Analyze(pb.AnalyzeRequest(route_set="mixed"), None)
    assert list(reply.decision) == ["small", "big"]
    assert (reply.reasons[0], reply.abstained) == ("rule:1", False)


async def test_an_unknown_virtual_model_is_not_found_and_counted(service, registry):
    with pytest.raises(ModelNotFound, match="no virtual model `nope`"):
        await service.Analyze(pb.AnalyzeRequest(route_set="nope"), None)
    with pytest.raises(InvalidRequest, match="route_set is empty"):
        await service.Analyze(pb.AnalyzeRequest(), None)
    assert registry.get_sample_value("trunkline_router_unknown_routes_total") == 1


async def test_explain_shows_every_rule_and_counts_nothing(service, registry):
    reply = await service.Explain(pb.ExplainRequest(request=pb.AnalyzeRequest(route_set="mixed")), None)
    assert [(rule.index, rule.matched) for rule in reply.rules] == [(0, False), (1, True), (2, False)]
    assert reply.rules[0].because == "intent is unknown, code is wanted"
    assert reply.rules[2].because == "complexity is unknown, below 0.2 is wanted (rule 1 came first)"
    assert list(reply.response.decision) == ["small", "big"]
    labels = {"route": "mixed", "outcome": "rule"}
    assert registry.get_sample_value("trunkline_router_decisions_total", labels) is None


async def test_another_table_is_another_version(service, registry):
    before = (await service.Reload(pb.ReloadRequest(), None)).versions.config
    service.use(RouteTable.of({"auto": Route(otherwise=("other",))}))
    after = (await service.Reload(pb.ReloadRequest(), None)).versions.config
    assert before != after
    assert list((await service.Analyze(pb.AnalyzeRequest(route_set="auto"), None)).decision) == ["other"]
    assert registry.get_sample_value("trunkline_router_routes") == 1
