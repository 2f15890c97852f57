"""The way of a request without any transport: everything is settled, whatever happens."""

import asyncio
from random import Random

import msgspec
import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from trunkline_gateway.admission.admission import Admission
from trunkline_gateway.admission.estimation import Estimator
from trunkline_gateway.admission.gate import Gate, Terms
from trunkline_gateway.admission.meters import AdmissionMeters, QueueMeters
from trunkline_gateway.admission.rulebook import Rulebook
from trunkline_gateway.admission.waiting import WaitingRoom
from trunkline_gateway.analysis import Analyst
from trunkline_gateway.attempts import Attempts
from trunkline_gateway.auth import KeyRing, Principal
from trunkline_gateway.callers import Callers, NoStoredKeys
from trunkline_gateway.catalogue import build
from trunkline_gateway.chunks import look, usage_in
from trunkline_gateway.clients import Clients
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.door import Door, sane_traceparent
from trunkline_gateway.edge import Visit
from trunkline_gateway.fleet.deployments import Fleet
from trunkline_gateway.fleet.meters import FleetMeters
from trunkline_gateway.fleet.planning import Planner
from trunkline_gateway.hashing import Hasher
from trunkline_gateway.http_app import http_app, routes_of
from trunkline_gateway.ledger.bookkeeping import Bookkeeper
from trunkline_gateway.moderation import Moderator
from trunkline_gateway.openapi import document
from trunkline_gateway.pipeline import Parts, Pipeline, State
from trunkline_gateway.prices.pricing import Pricing
from trunkline_gateway.providers.base import Answer
from trunkline_gateway.routes.health import health_routes
from trunkline_gateway.routes.models import model_routes
from trunkline_gateway.service import OneMessage
from trunkline_gateway.surface import Surface
from trunkline_gateway.telemetry import Meters
from trunkline_gateway.tenancy import tenants_of
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import ManualClock
from trunkline_kit.config import decode
from trunkline_kit.errors import Internal, ModelNotFound, StoreUnavailable, Unauthenticated
from trunkline_kit.health import Readiness
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import Tracing

TREE = {"providers": {"up": {"kind": "openai"}}, "models": {"m": {"deployments": [{"provider": "up", "model": "x"}]}}}
ASK = b'{"model":"m","messages":[1]}'
BODY = b'{"choices":[],"usage":{"prompt_tokens":2}}'


class Giving:
    """A provider with one result."""

    kind = "giving"

    def __init__(self, result):
        self.result = result

    def streams_whole(self, call, target):
        return False

    async def whole(self, call, target, terms):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def pipeline_of(clock, registry):
    def made(result):
        meters = Meters(registry)
        fleet = Fleet(clock, FleetMeters(registry))
        admission = Admission(None, AdmissionMeters(registry), clock)
        parts = Parts(
            gate=Gate(WaitingRoom(admission, QueueMeters(registry), 0), Estimator(), clock),
            analyst=Analyst(Clients(None, None, None, {}), meters),
            attempts=Attempts(Tracing(), meters, fleet, Random(1)),
            planner=Planner(fleet, Random(1)),
            meters=meters,
            tracing=Tracing(),
            clock=clock,
            bookkeeper=Bookkeeper(None, clock, registry),
            moderator=Moderator(Clients(None, None, None, {}), meters),
        )
        config = GatewayConfig.from_settings(decode(TREE, Settings))
        catalogue = build(config, 0)
        limits = Terms(rulebook=Rulebook(tenants_of(config)), pricing=Pricing(), catalogue=catalogue)
        callers = Callers(KeyRing({}, Hasher()), NoStoredKeys(), clock)
        return Pipeline(parts, State(catalogue, callers, {"up": Giving(result)}, Readiness(clock), limits))

    return made


def turn(clock):
    return Turn(
        surface=Surface.CHAT,
        principal=Principal(key_id="k"),
        request_id="r",
        traceparent="",
        started_s=clock.monotonic_s(),
    )


async def test_an_answer_is_given_and_settled(pipeline_of, clock, registry):
    made, sink = turn(clock), OneMessage()
    await pipeline_of(Answer(body=BODY, usage=usage_in(look(BODY).usage))).run(made, ASK, sink)
    assert sink.message.body_json == BODY
    assert (made.outcome, made.status, made.usage.input_tokens) == ("ok", 200, 2)
    labels = {"surface": "chat", "outcome": "ok", "status": "2xx"}
    assert registry.get_sample_value("trunkline_gateway_requests_total", labels) == 1


@pytest.mark.parametrize(
    ("result", "body", "outcome", "status"),
    [
        (Internal("x"), ASK, "internal_error", 500),
        (ZeroDivisionError(), ASK, "internal_error", 500),
        (None, b'{"model":"nope","messages":[1]}', "model_not_found", 404),
        (None, b"{", "invalid_request", 400),
    ],
)
async def test_failures_are_settled_too(pipeline_of, clock, result, body, outcome, status):
    made = turn(clock)
    with pytest.raises(Exception):  # noqa: B017 - whatever it is, it goes on
        await pipeline_of(result).run(made, body, OneMessage())
    assert (made.outcome, made.status) == (outcome, status)


async def test_an_attempt_is_noted_before_it_is_sent(pipeline_of, clock):
    noted = []
    pipeline = pipeline_of(Answer(body=BODY))
    keeper, provider = pipeline._bookkeeper, pipeline.state.providers["up"]
    keeper.begin = lambda turn, body: noted.append((turn.tried[-1].target.provider, body))
    answer = provider.whole

    async def whole(call, target, terms):
        assert noted == [("up", ASK)]
        return await answer(call, target, terms)

    provider.whole = whole
    await pipeline.run(turn(clock), ASK, OneMessage())
    assert len(noted) == 1


async def test_what_a_request_continues_is_not_waited_for_without_end(pipeline_of, clock, monkeypatch):
    monkeypatch.setattr("trunkline_gateway.pipeline.PREPARE_S", 0.01)

    async def prepare(call, accounts):
        await asyncio.Event().wait()

    made = turn(clock)
    made.prepare = prepare
    with pytest.raises(StoreUnavailable):
        await pipeline_of(None).run(made, ASK, OneMessage())
    assert made.status == 503


async def test_a_request_sees_one_configuration(pipeline_of, clock):
    pipeline = pipeline_of(Answer(body=BODY))
    empty = build(GatewayConfig.from_settings(Settings()), 0)
    pipeline.state = structs.replace(pipeline.state, catalogue=empty, providers={})
    with pytest.raises(ModelNotFound):
        await pipeline.run(turn(clock), ASK, OneMessage())


def test_the_application_has_its_routes_and_no_pages_of_the_framework(pipeline_of, clock):
    door = Door(pipeline_of(None), clock, 100)
    paths = {route.path for route in http_app(door, CollectorRegistry()).routes}
    assert {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/models",
        "/livez",
        "/metrics",
        "/openapi.json",
    } <= paths
    assert not [path for path in paths if path.startswith("/schema")]


def test_the_document_describes_bodies_streams_and_errors(pipeline_of, clock):
    door = Door(pipeline_of(None), clock, 100)
    told = msgspec.json.decode(document(routes_of(door, CollectorRegistry())))
    chat = told["paths"]["/v1/chat/completions"]["post"]
    assert chat["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ChatRequest"}
    assert set(chat["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert set(chat["responses"]) == {"200", "400", "401", "403", "404", "413", "429", "502", "503", "504"}
    assert told["paths"]["/livez"]["get"]["security"] == []
    assert set(told["paths"]["/livez"]) == {"get"}
    metrics = told["paths"]["/metrics"]["get"]
    assert metrics.get("security") != [], "it needs a key"
    assert {"200", "401", "403"} <= set(metrics["responses"])
    assert set(metrics["responses"]["200"]["content"]) == {"text/plain"}
    names = [handler.operation_id for handler in (*model_routes(door), *health_routes(door))]
    assert names == ["listModels", "retrieveModel", "livez", "readyz", "index"]


async def test_a_key_is_needed_before_anything_of_the_body_is_read(pipeline_of, clock):
    door = Door(pipeline_of(None), clock, 100)
    with pytest.raises(Unauthenticated):
        await door.reply({"trunkline_visit": Visit([])}, Surface.CHAT)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" + "x" * 10_000, False),
        ("nonsense", False),
        ("", False),
    ],
)
def test_only_a_real_trace_context_goes_on_to_providers(text, kept):
    assert sane_traceparent(text) == (text if kept else "")
