"""Which deployments may answer, in which order."""

from random import Random

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.catalogue import build
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.fleet.deployments import Fleet
from trunkline_gateway.fleet.meters import FleetMeters
from trunkline_gateway.fleet.planning import Planner
from trunkline_gateway.openai_types import ChatControl
from trunkline_gateway.providers.base import Call
from trunkline_gateway.surface import Surface
from trunkline_kit.clock import ManualClock
from trunkline_kit.config import decode
from trunkline_kit.errors import PermissionDenied, UpstreamRateLimited
from trunkline_kit.settings import Settings
from trunkline_policy.faults import FailureKind

DEPLOYMENTS = [
    {"provider": "one", "model": "x"},
    {"provider": "two", "model": "x"},
    {"provider": "three", "model": "x"},
]


def tree(**model):
    return {
        "providers": {name: {"kind": "openai"} for name in ("one", "two", "three")},
        "models": {
            "m": {"deployments": DEPLOYMENTS, "fallbacks": {"on_error": ["spare"]}, **model},
            "spare": {"deployments": [{"provider": "one", "model": "s"}]},
            "long": {"deployments": [{"provider": "two", "model": "l"}]},
        },
    }


class Bench:
    def __init__(self, seed=1, **model):
        self.clock = ManualClock(1000.0)
        self.fleet = Fleet(self.clock, FleetMeters(CollectorRegistry()))
        self.catalogue = build(GatewayConfig.from_settings(decode(tree(**model), Settings)), 0)
        self.planner = Planner(self.fleet, Random(seed))
        self.only = None

    def plan(self, *names, text="hello", allowed=lambda targets: targets, **control):
        body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": text}], **control})
        decoded = msgspec.json.decode(body, type=ChatControl)
        call = Call(surface=Surface.CHAT, body=body, control=decoded, request_id="r", only=self.only)
        return self.planner.plan(self.catalogue, names or ("m",), call, allowed)

    def order(self, *names, **options):
        return [target.key for target in self.plan(*names, **options).chains.places]

    def send(self, provider, model="x"):
        return self.fleet.send((provider, model), self.catalogue.offers["m"].watch)


def test_the_model_comes_first_then_its_fallbacks_then_what_else_was_decided():
    assert Bench().order()[3:] == ["one/s"]
    assert Bench().order("m", "long")[3:] == ["one/s", "two/l"]
    assert Bench().order("spare") == ["one/s"]
    assert len({tuple(Bench(seed).order()) for seed in range(30)}) > 1


def test_other_kinds_of_fallback_are_chains_of_their_own():
    chains = Bench(fallbacks={"on_context_window": ["long"], "on_content_policy": ["spare"]}).plan().chains
    assert len(chains.places) == 3
    assert [target.key for target in chains.on_context] == ["two/l"]
    assert [target.key for target in chains.on_policy] == ["one/s"]


def test_one_that_rests_comes_last_and_the_plan_says_so():
    for seed in range(10):
        bench = Bench(seed)
        bench.send("two").failed(FailureKind.LIMITED, UpstreamRateLimited("slow down", retry_after_s=9.0))
        plan = bench.plan()
        assert plan.chains.places[2].provider == "two"
        assert [(name, ruling.by, ruling.keys) for name, ruling in plan.rulings] == [("m", "health", ("two/x",))]
        bench.clock.advance(9.0)
        assert not bench.plan().rulings


def test_the_least_busy_goes_first():
    bench = Bench(balance="least_busy")
    for provider in ("one", "one", "two"):
        bench.send(provider)
    assert bench.order()[:3] == ["three/x", "two/x", "one/x"]


def test_the_soonest_done_goes_first():
    bench = Bench(balance="least_cost")
    for provider, took_s in (("one", 1.0), ("two", 9.0), ("three", 4.0)):
        flight = bench.send(provider)
        bench.clock.advance(took_s)
        flight.landed(complete=True)
    assert bench.order()[:3] == ["one/x", "three/x", "two/x"]
    for _ in range(9):
        bench.send("one")
    assert bench.order()[:3] == ["three/x", "one/x", "two/x"]


@pytest.mark.parametrize("model", [{"balance": "prefix_affinity"}, {"sticky": True}])
def test_what_begins_alike_goes_to_the_same_place(model):
    orders = {tuple(Bench(seed, **model).order(text="once upon a time")) for seed in range(10)}
    assert len(orders) == 1
    firsts = {Bench(1, **model).order(text=f"{number}")[0] for number in range(40)}
    assert firsts == {"one/x", "two/x", "three/x"}


def test_what_does_not_fit_is_tried_last():
    deployments = [{**one, "context_tokens": 100 if one["provider"] == "one" else 9000} for one in DEPLOYMENTS]
    for seed in range(10):
        bench = Bench(seed, deployments=deployments)
        assert bench.order(text="word " * 400)[2] == "one/x"
        assert bench.order(max_completion_tokens=5000)[2] == "one/x"
    assert "one/x" in {Bench(seed, deployments=deployments).order()[0] for seed in range(30)}


def test_who_may_not_be_used_is_left_out_and_nobody_is_an_error():
    bench = Bench(fallbacks={"on_context_window": ["long"]})
    kept = bench.plan(allowed=lambda targets: tuple(one for one in targets if one.provider == "two")).chains
    assert [target.key for target in (*kept.places, *kept.on_context)] == ["two/x", "two/l"]

    def only_the_model(targets):
        if targets[0].model != "m":
            raise PermissionDenied("no price")
        return targets

    assert bench.plan(allowed=only_the_model).chains.on_context == ()

    def nobody(_):
        raise PermissionDenied("no price")

    with pytest.raises(PermissionDenied):
        bench.plan(allowed=nobody)


def test_what_one_account_keeps_is_asked_of_no_other_not_even_as_a_fallback():
    bench = Bench()
    bench.only = "two"
    assert bench.order() == ["two/x"]
    assert bench.order("long", "m") == ["two/l", "two/x"]
    bench.only = "one"
    assert bench.order() == ["one/x", "one/s"]
    bench.only = "gone"
    assert bench.order("spare") == []


IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def blind(*providers):
    """Deployments of which some only read text."""
    return [{**one, **({"profile": "text-only"} if one["provider"] in providers else {})} for one in DEPLOYMENTS]


def test_what_a_request_asks_is_sent_to_those_that_can_do_it():
    for seed in range(5):
        bench = Bench(seed, deployments=blind("one", "three"))
        assert bench.order(text=IMAGE) == ["two/x", "one/s"]
        assert sorted(bench.order()[:3]) == ["one/x", "three/x", "two/x"]
        by = {(name, ruling.by, ruling.keys) for name, ruling in bench.plan(text=IMAGE).rulings}
        assert by == {("m", "capability", ("one/x", "three/x"))}


def test_what_nobody_can_do_is_for_the_providers_to_judge():
    bench = Bench(deployments=blind("one", "two", "three"), fallbacks={"on_error": []})
    assert len(bench.order(text=IMAGE)) == 3
    assert not bench.plan(text=IMAGE).rulings


def test_a_fallback_that_cannot_do_it_is_left_out_and_one_that_can_is_not_asked_first():
    models = tree(deployments=blind("one", "two", "three"))
    models["models"]["spare"]["deployments"][0]["profile"] = {"tools": False}
    bench = Bench()
    bench.catalogue = build(GatewayConfig.from_settings(decode(models, Settings)), 0)
    assert bench.order(text=IMAGE)[3:] == ["one/s"]
    assert len(bench.order(tools=TOOLS)) == 3
    assert "one/s" in bench.order()


def test_among_models_that_were_decided_on_those_that_can_do_it_come_first():
    models = tree(deployments=blind("one", "two", "three"), fallbacks={"on_error": []})
    bench = Bench()
    bench.catalogue = build(GatewayConfig.from_settings(decode(models, Settings)), 0)
    assert bench.order("m", "long", text=IMAGE) == ["two/l"]


def test_what_one_account_keeps_is_asked_of_it_though_others_could_do_more():
    bench = Bench(deployments=blind("one"))
    bench.only = "one"
    assert bench.order(text=IMAGE) == ["one/x", "one/s"]
