"""Moderations: which texts are judged, and what a verdict of the guardrails says in OpenAI's words."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from trunkline.guardrails.v1 import guardrails_service_pb2 as pb
from trunkline_gateway import moderation as module
from trunkline_gateway.auth import Principal
from trunkline_gateway.clients import Clients
from trunkline_gateway.moderation import EVERYTHING, Moderator, inputs_of, result_of
from trunkline_gateway.moderation_types import CATEGORIES
from trunkline_gateway.pipeline import call_of
from trunkline_gateway.surface import Surface
from trunkline_gateway.telemetry import Meters
from trunkline_gateway.turn import Turn
from trunkline_guardrails.policy import EVERYTHING as THEIRS
from trunkline_kit.config import decode
from trunkline_kit.errors import InvalidRequest, Unavailable, Unsupported
from trunkline_kit.settings import Policy

GUARDED = decode({"guardrails": {"input": [{"check": "secrets", "on_fail": "block"}]}}, Policy)


def turn_of(policy=None):
    who = Principal(key_id="k", team="t", policy=policy)
    return Turn(surface=Surface.MODERATION, principal=who, request_id="r", traceparent="", started_s=0.0)


def control_of(given):
    return call_of(turn_of(), json.dumps({"input": given}).encode()).control


def reply(*findings, action=pb.ACTION_ALLOW, checks=("secrets",)):
    return pb.CheckInputResponse(action=action, findings=findings, checks=checks, policy_version="v1")


def finding(kind="aws-access-key", **rest):
    return pb.Finding(check="secrets", kind=kind, action=pb.ACTION_FLAG, path="/input", score=1.0, **rest)


class Guard:
    def __init__(self, *replies):
        self.replies = list(replies)
        self.asked = []

    async def CheckInput(self, request, **options):
        assert options["timeout"] > 0
        self.asked.append((request.policy, request.tenant, [(part.path, part.text) for part in request.parts]))
        return self.replies.pop(0)


async def judged(guard, given, policy=None, settings=None):
    turn = turn_of(policy)
    call = call_of(turn, json.dumps({"input": given, "model": "text-moderation-stable"}).encode())
    moderator = Moderator(Clients(None, None, guard, {}), Meters(CollectorRegistry()))
    return json.loads(await moderator.answer(turn, call, settings)), turn


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a", [[("/input", "a")]]),
        (["a", "b"], [[("/input/0", "a")], [("/input/1", "b")]]),
        ([{"type": "text", "text": "a"}], [[("/input/0/text", "a")]]),
    ],
    ids=["text", "texts", "parts"],
)
def test_what_is_one_input(given, inputs):
    assert inputs_of(control_of(given)) == inputs


@pytest.mark.parametrize(
    ("given", "kind", "param"),
    [
        ([{"type": "image_url", "image_url": {"url": "x"}}], Unsupported, "input[0].image_url"),
        ([{"type": "text"}], InvalidRequest, "input[0].text"),
        (["a", {"type": "text", "text": "b"}], InvalidRequest, "input"),
        ([], InvalidRequest, "input"),
        (["a"] * 1025, InvalidRequest, "input"),
        ([1, 2], InvalidRequest, "input[0]"),
        (None, InvalidRequest, "input"),
    ],
    ids=["image", "no-text", "mixed", "none", "too-many", "ids", "null"],
)
def test_what_cannot_be_judged_is_named(given, kind, param):
    with pytest.raises(kind) as caught:
        inputs_of(control_of(given))
    assert caught.value.param.replace("[...]", "[0]") == param


def test_what_no_check_can_tell_is_not_said_to_be_fine():
    result = result_of(reply(finding()))
    assert result.flagged
    assert set(result.categories) == set(CATEGORIES) == set(result.category_scores)
    assert not any(result.categories.values())
    assert all(types == [] for types in result.category_applied_input_types.values())
    assert [(item.check, item.kind, item.param) for item in result.trunkline.findings] == [
        ("secrets", "aws-access-key", "input")
    ]


def test_a_finding_that_names_a_category_sets_it():
    result = result_of(reply(finding("hate"), finding("hate")))
    assert [name for name, value in result.categories.items() if value] == ["hate"]
    assert result.category_scores["hate"] == 1.0
    assert result.category_applied_input_types["hate"] == ["text"]


async def test_each_input_is_judged_by_itself_by_all_checks():
    guard = Guard(reply(), reply(finding(), action=pb.ACTION_FLAG))
    answer, turn = await judged(guard, ["a", "b"])
    assert [result["flagged"] for result in answer["results"]] == [False, True]
    assert answer["results"][1]["trunkline"]["action"] == "flag"
    assert guard.asked == [("@all", "t", [("/input/0", "a")]), ("@all", "t", [("/input/1", "b")])]
    assert (answer["id"], answer["model"]) == ("modr-r", "trunkline-guardrails")
    assert answer["trunkline"] == {"checks": ["secrets"], "version": "v1"}
    assert turn.guardrails == "flag:aws-access-key"
    assert EVERYTHING == THEIRS


@pytest.mark.parametrize(("settings", "asked"), [(GUARDED, "p"), (Policy(), "@all"), (None, "@all")], ids=range(3))
async def test_a_keys_own_policy_judges_where_it_checks_anything(settings, asked):
    guard = Guard(reply())
    _, turn = await judged(guard, "a", "p" if settings else None, settings)
    assert guard.asked[0][0] == asked
    assert turn.guardrails == "allow"


async def test_a_policy_of_which_nothing_runs_yet_is_stood_in_for():
    guard = Guard(reply(checks=()), reply(finding()))
    answer, _ = await judged(guard, "a", "p", GUARDED)
    assert [policy for policy, _, _ in guard.asked] == ["p", "@all"]
    assert answer["results"][0]["flagged"]


@pytest.mark.parametrize(
    "said", [reply(checks=()), reply(finding(failed=True))], ids=["no check runs", "a check could not run"]
)
async def test_no_verdict_is_made_up(said):
    with pytest.raises(Unavailable):
        await judged(Guard(said), "a")


async def test_all_inputs_together_have_so_long_and_some_are_judged_at_once(monkeypatch):
    monkeypatch.setattr(module, "JUDGE_ALL_S", 0.01)

    class Slow(Guard):
        async def CheckInput(self, request, **options):
            await super().CheckInput(request, **options)
            return await asyncio.Event().wait()

    guard = Slow(*[reply()] * 100)
    with pytest.raises(Unavailable, match="100 inputs took longer"):
        await judged(guard, ["a"] * 100)
    assert len(guard.asked) == module.AT_ONCE


async def test_many_inputs_are_answered_in_their_order():
    guard = Guard(*[reply(finding()) if number % 3 == 0 else reply() for number in range(20)])
    answer, _ = await judged(guard, [str(number) for number in range(20)])
    assert [result["flagged"] for result in answer["results"]] == [number % 3 == 0 for number in range(20)]


async def test_only_moderations_are_judged():
    call = SimpleNamespace(control=None)
    with pytest.raises(TypeError):
        await Moderator(Clients(None, None, None, {}), Meters(CollectorRegistry())).answer(turn_of(), call, None)
