import pytest
from prometheus_client import CollectorRegistry

from trunkline.guardrails.v1 import guardrails_service_pb2 as pb
from trunkline_guardrails.config import GuardrailsConfig
from trunkline_guardrails.metrics import GuardrailsMetrics
from trunkline_guardrails.policy import compile_policies
from trunkline_guardrails.service import Checks, GuardrailsService
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import InvalidRequest
from trunkline_kit.settings import Check, GuardrailPolicy, OnFail, Policy

TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zAabcd"


def policy(on_fail):
    secrets = Check(check="secrets", on_fail=on_fail)
    return Policy(guardrails=GuardrailPolicy(input=(secrets, Check(check="pii", on_fail=on_fail)), output=(secrets,)))


POLICIES = {on_fail.value: policy(on_fail) for on_fail in (OnFail.FLAG, OnFail.REDACT, OnFail.BLOCK)}


class Ticking(ManualClock):
    """A clock that moves by 250 µs whenever it is read."""

    def monotonic_s(self):
        self.advance(0.00025)
        return super().monotonic_s()


@pytest.fixture
def service():
    config = GuardrailsConfig(listen="local:guardrails", inline_limit_bytes=1000)
    metrics = GuardrailsMetrics(CollectorRegistry())
    return GuardrailsService(compile_policies(POLICIES), Checks(config, Ticking()), metrics)


def ask(policy, *texts):
    parts = [pb.InputPart(path=f"/messages/{n}/content", role="user", text=text) for n, text in enumerate(texts)]
    return pb.CheckInputRequest(policy=policy, parts=parts)


@pytest.mark.parametrize(
    ("name", "action"), [("flag", pb.ACTION_FLAG), ("redact", pb.ACTION_REDACT), ("block", pb.ACTION_BLOCK)]
)
async def test_the_policy_decides_what_a_secret_leads_to(service, name, action):
    reply = await service.CheckInput(ask(name, "hello", f"é {TOKEN}"), None)
    assert reply.action == action
    (finding,) = reply.findings
    assert (finding.check, finding.kind, finding.action) == ("secrets", "github-token", action)
    assert (finding.path, finding.start_chars, finding.end_chars) == ("/messages/1/content", 2, 2 + len(TOKEN))
    assert not finding.failed
    assert [redaction.replacement for redaction in reply.redactions] == ["[github-token]"] * (name == "redact")
    assert TOKEN not in str(reply)
    assert (reply.took_us, reply.scanned_bytes) == (250, len("hello") + len(f"é {TOKEN}".encode()))
    assert reply.policy_version


@pytest.mark.parametrize("size", [10, 5000])
async def test_long_texts_get_the_same_verdict_as_short_ones(service, size):
    clean = await service.CheckInput(ask("block", "x " * size), None)
    found = await service.CheckInput(ask("block", "x " * size + TOKEN), None)
    assert (clean.action, found.action) == (pb.ACTION_ALLOW, pb.ACTION_BLOCK)
    assert found.findings[0].start_chars == 2 * size


@pytest.mark.parametrize(("name", "message"), [("", "policy is empty"), ("nope", "no policy `nope`")])
async def test_nothing_passes_under_a_policy_that_nobody_knows(service, name, message):
    with pytest.raises(InvalidRequest, match=message):
        await service.CheckInput(ask(name, "hello"), None)


async def messages(*sent):
    for message in sent:
        yield message


START = pb.OutputStart(policy="block")


async def test_an_answer_passes_through_delta_by_delta(service):
    stream = messages(
        pb.CheckOutputRequest(start=START, channel=pb.CHANNEL_TEXT, delta="Hel"),
        pb.CheckOutputRequest(channel=pb.CHANNEL_TOOL_ARGUMENTS, index=2, delta=TOKEN),
        pb.CheckOutputRequest(channel=pb.CHANNEL_TEXT, delta="lo", end=True),
        pb.CheckOutputRequest(channel=pb.CHANNEL_TEXT, delta="after the end"),
    )
    replies = [reply async for reply in service.CheckOutput(stream, None)]
    assert [(reply.channel, reply.index, reply.release) for reply in replies[:-1]] == [
        (pb.CHANNEL_TEXT, 0, "Hel"),
        (pb.CHANNEL_TOOL_ARGUMENTS, 2, TOKEN),
        (pb.CHANNEL_TEXT, 0, "lo"),
    ]
    assert {reply.action for reply in replies} == {pb.ACTION_ALLOW}
    assert [reply.end for reply in replies] == [False, False, False, True]


async def test_each_delta_is_released_before_the_next_is_asked_for(service):
    asked = []

    async def stream():
        for text in ("a", "b"):
            asked.append(text)
            yield pb.CheckOutputRequest(start=START, delta=text)

    replies = service.CheckOutput(stream(), None)
    assert (await anext(replies)).release == "a"
    assert asked == ["a"]
    await replies.aclose()


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ([], "the stream is empty"),
        ([pb.CheckOutputRequest(delta="no start")], "policy is empty"),
        ([pb.CheckOutputRequest(start=pb.OutputStart(policy="nope"))], "no policy `nope`"),
    ],
)
async def test_an_answer_needs_a_policy_too(service, sent, message):
    with pytest.raises(InvalidRequest, match=message):
        [reply async for reply in service.CheckOutput(messages(*sent), None)]


async def test_only_checks_that_run_are_listed(service):
    reply = await service.ListPolicies(pb.ListPoliciesRequest(), None)
    assert {policy.name: [check.check for check in policy.input] for policy in reply.policies} == {
        name: ["secrets"] for name in POLICIES
    }
    assert all(not policy.output for policy in reply.policies)
    assert reply.version == (await service.Reload(pb.ReloadRequest(), None)).version


async def test_every_check_runs_for_those_without_a_policy_and_only_flags(service):
    reply = await service.CheckInput(ask("@all", TOKEN), None)
    assert (reply.action, list(reply.checks)) == (pb.ACTION_FLAG, ["secrets"])
    service.use(compile_policies({"p": Policy()}))
    assert (await service.CheckInput(ask("@all", TOKEN), None)).action == pb.ACTION_FLAG
    assert list((await service.CheckInput(ask("p", TOKEN), None)).checks) == []


async def test_another_table_judges_from_the_next_call_on(service):
    before = (await service.Reload(pb.ReloadRequest(), None)).version
    service.use(compile_policies({"block": Policy()}))
    reply = await service.CheckInput(ask("block", TOKEN), None)
    assert reply.action == pb.ACTION_ALLOW
    assert reply.policy_version != before
