"""Counting tokens: who is asked first, what is counted instead, and that it is said which of them it was."""

import json

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.admission.estimation import Estimator
from trunkline_gateway.admission.exact import Tokenizers
from trunkline_gateway.admission.sizing import Tools
from trunkline_gateway.auth import Principal
from trunkline_gateway.catalogue import build
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.fleet.planning import Planned
from trunkline_gateway.pipeline import call_of
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.durations import Durations
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.providers.over_chat import OverChat
from trunkline_gateway.surface import Surface
from trunkline_gateway.telemetry import Meters
from trunkline_gateway.token_counts import TokenCounter, chat_of, is_plain
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import ManualClock
from trunkline_kit.config import decode
from trunkline_kit.errors import InvalidRequest, Unsupported, UpstreamRefused, UpstreamUnavailable
from trunkline_kit.settings import Settings
from trunkline_policy.faults import FailureKind
from trunkline_policy.retries import Chains

HELLO = [{"role": "user", "content": "Hello!"}]
SYSTEM = "You are a helpful assistant."
CHART = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
TOOLS = [{"name": "weather", "description": "of a town", "input_schema": {"type": "object"}}]


def turn_of():
    who = Principal(key_id="k")
    return Turn(surface=Surface.TOKEN_COUNT, principal=who, request_id="r", traceparent="", started_s=0.0)


def call_for(messages=HELLO, **members):
    return call_of(turn_of(), json.dumps({"model": "m", "messages": messages, **members}).encode())


class Counting:
    """A provider that counts for itself."""

    kind = "counting"

    def __init__(self, found):
        self.found = found

    async def count_tokens(self, call, target, terms):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


class Silent:
    kind = "openai"


class Words:
    """A tokenizer that is there at once."""

    def encode_ordinary(self, text):
        return text.split()


@pytest.fixture
def count():
    tokenizers = Tokenizers()
    tokenizers._loaded["o200k_base"] = Words()
    clock = ManualClock()
    tools = Tools(estimator=Estimator(), durations=Durations(), tokenizers=tokenizers, clock=clock)

    async def counted(provider, model, call):
        tree = {
            "providers": {"up": {"kind": "openai"}},
            "models": {"m": {"deployments": [{"provider": "up", "model": model}]}},
        }
        offers = build(GatewayConfig.from_settings(decode(tree, Settings)), 0).offers
        turn = turn_of()
        plan = Planned(Chains(places=(Target("m", "up", model),)), offers)
        meters = Meters(CollectorRegistry())
        answer = await TokenCounter(tools, meters).answer(turn, call, plan, {"up": provider})
        return json.loads(answer)["input_tokens"], turn.count

    return counted


def over_chat():
    return OverChat(Silent(), ManualClock())


async def test_a_provider_that_counts_is_asked(count):
    assert await count(Counting(b'{"input_tokens": 42}'), "claude-x", call_for()) == (42, "provider")


@pytest.mark.parametrize("kind", [FailureKind.BROKEN, FailureKind.LIMITED, FailureKind.UNFIT])
async def test_without_its_word_there_is_an_estimate_that_says_so(count, kind):
    failed = AttemptFailed(kind, UpstreamUnavailable("away"))
    found, how = await count(Counting(failed), "claude-x", call_for())
    assert how == "estimated"
    assert found > 0


@pytest.mark.parametrize(
    "error",
    [UpstreamRefused("roles must alternate"), AttemptFailed(FailureKind.CONTEXT, UpstreamRefused("too long"))],
    ids=["refused", "too long"],
)
async def test_what_is_wrong_with_the_request_is_for_the_caller(count, error):
    with pytest.raises(InvalidRequest):
        await count(Counting(error), "claude-x", call_for())


async def test_openais_models_are_counted_by_their_own_tokenizer(count):
    assert await count(over_chat(), "gpt-4o", call_for(system=SYSTEM)) == (5 + 1 + 2 * 4 + 3, "exact")
    assert await count(over_chat(), "gpt-4o", call_for(stream=True)) == (1 + 4 + 3, "exact")


async def test_tools_and_instructions_count(count):
    bare, _ = await count(over_chat(), "gpt-4o", call_for())
    more, how = await count(over_chat(), "gpt-4o", call_for(tools=TOOLS))
    assert more > bare
    assert how == "estimated", "how tools are written into the prompt is OpenAI's secret"
    for model in ("qwen3-8b", "gpt-4o"):
        plain, _ = await count(over_chat(), model, call_for())
        long, _ = await count(over_chat(), model, call_for(system=SYSTEM * 20, tools=TOOLS))
        assert long > plain + 80


async def test_what_has_no_tokenizer_is_estimated(count):
    found, how = await count(over_chat(), "qwen3-8b", call_for([{"role": "user", "content": "word " * 400}]))
    assert how == "estimated"
    assert 350 < found < 700


async def test_what_could_not_be_sent_is_not_counted(count):
    with pytest.raises(Unsupported) as caught:
        await count(over_chat(), "gpt-4o", call_for(top_k=3, novel=1))
    assert caught.value.param in {"top_k", "novel"}


def test_the_chat_completion_is_what_would_be_sent():
    chat = chat_of(call_for(system=SYSTEM, stream=True), Target("m", "up", "gpt-4o"))
    sent = json.loads(chat.body)
    assert [message["role"] for message in sent["messages"]] in (["system", "user"], ["developer", "user"])
    assert (chat.surface, chat.wants_stream) == (Surface.CHAT, False)


@pytest.mark.parametrize(
    ("call", "plain"),
    [
        (call_for(), True),
        (call_for([{"role": "user", "content": [{"type": "text", "text": "a"}]}], tools=[]), True),
        (call_for([{"role": "user", "content": [{"type": "text", "text": "a"}, CHART]}]), False),
        (call_for(tools=TOOLS), False),
        (call_for([{"role": "user", "content": 3}]), False),
    ],
    ids=["text", "blocks", "image", "tools", "odd"],
)
def test_only_text_is_exact(call, plain):
    assert is_plain(call) is plain
