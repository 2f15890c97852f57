"""What is asked of LiteLLM's SDK, and what its answers and errors mean. The SDK itself is a stand-in here."""

import asyncio
import json
import threading

import msgspec
import pytest

from trunkline_gateway import body as bodies
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import AttemptFailed, Call, Terms
from trunkline_gateway.providers.litellm import Judge, LiteLLM
from trunkline_gateway.providers.litellm_thread import SdkThread
from trunkline_gateway.surface import CONTROL_DECODERS, Surface
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import Unsupported, UpstreamRateLimited, UpstreamRefused
from trunkline_kit.providers import LiteLLMProvider
from trunkline_kit.secrets import Secret
from trunkline_policy.faults import FailureKind

TARGET, TERMS = Target("m", "long", "granite"), Terms(connect_s=1, total_s=7.5)
ANSWER = {
    "id": "c",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "one"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}
PIECE = {"id": "c", "choices": [{"index": 0, "delta": {"content": "one"}}]}


class Dumped:
    """As the SDK's answers are."""

    def __init__(self, tree):
        self._tree = tree

    def model_dump_json(self):
        return json.dumps(self._tree)


class Pieces:
    def __init__(self, pieces):
        self._pieces = list(pieces)
        self.closed = threading.Event()

    async def __anext__(self):
        if not self._pieces:
            raise StopAsyncIteration
        piece = self._pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return Dumped(piece)

    async def aclose(self):
        self.closed.set()


class Sdk:
    """Remembers what it was asked, and in which thread."""

    def __init__(self):
        self.asked = []
        self.says = Dumped(ANSWER)

    async def acompletion(self, **arguments):
        self.asked.append((threading.current_thread().name, arguments))
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    atext_completion = aembedding = acompletion


class Failed(Exception):
    def __init__(self, message="no", status_code=400, code=None, headers=None):
        super().__init__(message)
        self.message, self.status_code, self.code = message, status_code, code
        self.response = type("Response", (), {"headers": headers or {}})()


def named(name):
    return type(name, (Failed,), {})


@pytest.fixture
def sdk():
    return Sdk()


@pytest.fixture
def provider(sdk):
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sdk")
    thread.start()
    settings = LiteLLMProvider(provider="watsonx", base_url="http://own", parameters={"project": "p"})
    secrets = {"api_key": Secret("sk-hush"), "project": Secret("p")}
    yield LiteLLM(settings, secrets, SdkThread(sdk, loop), Judge("long", [secrets["api_key"]], ManualClock(0.0)))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def call(surface=Surface.CHAT, **fields):
    start = {"messages": [{"role": "user", "content": "hi"}]} if surface is Surface.CHAT else {}
    body = msgspec.json.encode({"model": "m", **start, **fields})
    return Call(surface=surface, body=body, control=bodies.decode(body, CONTROL_DECODERS[surface]), request_id="r")


async def test_it_is_asked_in_its_thread_for_one_attempt_with_what_we_know(provider, sdk):
    answer = await provider.whole(call(temperature=0.5, stream_options=None, store=True), TARGET, TERMS)
    assert (json.loads(answer.body), answer.usage.completion_tokens) == (ANSWER, 2)
    thread, arguments = sdk.asked[0]
    assert thread == "sdk"
    assert arguments == {
        "model": "watsonx/granite",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "api_key": "sk-hush",
        "api_base": "http://own",
        "project": "p",
        "timeout": 7.5,
        "num_retries": 0,
        "max_retries": 0,
        "no-log": True,
    }


async def test_other_surfaces_have_functions_and_fields_of_their_own(provider, sdk):
    await provider.whole(call(Surface.COMPLETION, prompt="once", echo=True), TARGET, TERMS)
    await provider.whole(call(Surface.EMBEDDING, input=["a"], dimensions=3), TARGET, TERMS)
    assert [arguments.get("prompt") or arguments["input"] for _, arguments in sdk.asked] == ["once", ["a"]]
    with pytest.raises(AttemptFailed, match="rerank"):
        await provider.whole(call(Surface.RERANK, query="q", documents=["d"]), TARGET, TERMS)
    assert not provider.streams_whole(call(), TARGET)
    assert await provider.check("granite") == "watsonx by LiteLLM, not probed"


@pytest.mark.parametrize("name", ["api_base", "api_key", "fallbacks", "mock_response", "extra_headers", "callbacks"])
async def test_what_is_not_for_callers_to_say_is_refused_by_name(provider, sdk, name):
    with pytest.raises(AttemptFailed, match=name) as failed:
        await provider.whole(call(**{name: "x"}), TARGET, TERMS)
    assert (failed.value.kind, failed.value.error.param) == (FailureKind.UNFIT, name)
    assert not sdk.asked
    await provider.whole(call(**{name: None}), TARGET, TERMS)
    assert name in {"api_key", "api_base"} or name not in sdk.asked[0][1]


async def test_nothing_is_fetched_from_here(provider, sdk):
    parts = [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}}]
    with pytest.raises(AttemptFailed, match="send them in place") as failed:
        await provider.stream(call(messages=[{"role": "user", "content": parts}]), TARGET, TERMS)
    assert (failed.value.kind, failed.value.error.param) == (FailureKind.UNFIT, "messages")
    assert not sdk.asked


async def test_a_stream_is_read_piece_by_piece_and_closed(provider, sdk):
    sdk.says = pieces = Pieces([PIECE, PIECE])
    stream = await provider.stream(call(), TARGET, TERMS)
    assert sdk.asked[0][1]["stream_options"] == {"include_usage": True}
    found = [await stream.next(), await stream.next(), await stream.next(), await stream.next()]
    assert [json.loads(chunks[0].data) for chunks in found[:2]] == [PIECE, PIECE]
    assert found[2:] == [None, None]
    assert stream.ending() == []
    await stream.release()
    stream.cut()
    assert await asyncio.to_thread(pieces.closed.wait, 5)


async def test_an_error_in_mid_stream_is_said_as_a_provider_would(provider, sdk):
    sdk.says = Pieces([PIECE, Failed("slow down, sk-hush", 429)])
    stream = await provider.stream(call(), TARGET, TERMS)
    await stream.next()
    chunks = await stream.next()
    assert json.loads(chunks[0].error) == {
        "message": "slow down, [redacted]",
        "type": "",
        "code": "rate_limit_exceeded",
    }
    assert await stream.next() is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (named("Timeout")("late", 408), FailureKind.SILENT),
        (named("APIConnectionError")("gone", 500), FailureKind.BROKEN),
        (named("InternalServerError")("oh", 500), FailureKind.BROKEN),
        (named("AuthenticationError")("who", 401), FailureKind.ACCOUNT),
        (named("PaymentRequiredError")("pay", 402), FailureKind.ACCOUNT),
        (named("NotFoundError")("where", 404), FailureKind.UNFIT),
        (named("ContextWindowExceededError")("long"), FailureKind.CONTEXT),
        (named("ContentPolicyViolationError")("bad"), FailureKind.POLICY),
        (KeyError("a fault of its own"), FailureKind.BROKEN),
    ],
)
async def test_its_errors_are_ours(provider, sdk, error, kind):
    sdk.says = error
    for ask in (provider.whole, provider.stream):
        with pytest.raises(AttemptFailed) as failed:
            await ask(call(), TARGET, TERMS)
        assert failed.value.kind is kind


async def test_what_it_says_about_waiting_and_fields_is_kept(provider, sdk):
    sdk.says = named("RateLimitError")("slow", 429, headers={"Retry-After": "7"})
    with pytest.raises(AttemptFailed) as failed:
        await provider.whole(call(), TARGET, TERMS)
    assert isinstance(failed.value.error, UpstreamRateLimited)
    assert failed.value.error.retry_after_s == 7.0

    sdk.says = named("UnsupportedParamsError")("watsonx does not support parameters: ['logit_bias'], for model=granite")
    with pytest.raises(AttemptFailed) as failed:
        await provider.whole(call(), TARGET, TERMS)
    assert isinstance(failed.value.error, Unsupported)
    assert failed.value.error.param == "logit_bias"

    sdk.says = named("BadRequestError")("no sk-hush here")
    with pytest.raises(UpstreamRefused, match=r"no \[redacted\] here"):
        await provider.whole(call(), TARGET, TERMS)
