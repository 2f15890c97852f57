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
from trunkline_kit.errors import InvalidRequest, Unsupported, UpstreamRateLimited, UpstreamRefused
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


LINK = "http://169.254.169.254/latest"


@pytest.mark.parametrize("more", [{}, {"seed": 1.5}, {"n": "two"}])
@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": LINK}},
        {"type": "image_url", "image_url": LINK},
        {"type": "image_url", "image_url": {"detail": "data:", "url": LINK}},
        {"type": "image_url", "image_url": {"url": "ftp://10.0.0.1"}},
        {"type": "file", "file": {"file_data": LINK}},
        {"type": "file", "file": {"file_data": "\t HTTPS://10.0.0.1/"}},
        {"type": "file", "file": {"file_id": LINK}},
        {"type": "file", "file": LINK},
        {"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": LINK}}]},
        {"type": "video_url", "video_url": {"url": LINK}},
        {"type": "text", "text": "hello", "whatever": [LINK]},
    ],
)
async def test_nothing_is_fetched_from_here(provider, sdk, part, more):
    asked = call(messages=[{"role": "user", "content": [part]}])
    asked = msgspec.structs.replace(asked, body=msgspec.json.encode({**msgspec.json.decode(asked.body), **more}))
    for ask in (provider.whole, provider.stream):
        with pytest.raises(AttemptFailed, match="send the data in place") as failed:
            await ask(asked, TARGET, TERMS)
        assert (failed.value.kind, failed.value.error.param) == (FailureKind.UNFIT, "messages")
    assert not sdk.asked


async def test_words_about_links_and_data_in_place_go_on(provider, sdk):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}
    held = {"type": "file", "file": {"file_id": "file-1"}}
    cited = [{"type": "url_citation", "url_citation": {"url": LINK, "title": LINK}}]
    tool = {"id": "1", "type": "function", "function": {"name": "f", "arguments": f'{{"url":"{LINK}"}}'}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": LINK}, image, file, held]},
        {"role": "assistant", "content": LINK, "annotations": cited, "tool_calls": [tool]},
        {"role": "tool", "tool_call_id": "1", "content": LINK},
    ]
    await provider.whole(call(messages=messages), TARGET, TERMS)
    assert sdk.asked[0][1]["messages"] == messages


async def test_what_cannot_be_read_does_not_go_on(provider, sdk):
    asked = call()
    broken = msgspec.structs.replace(asked, body=asked.body.replace(b'"hi"', b'"\\ud800"'))
    with pytest.raises(InvalidRequest, match=r"is not a JSON object|cannot be read"):
        await provider.whole(broken, TARGET, TERMS)
    assert not sdk.asked


@pytest.mark.parametrize(
    ("name", "status"),
    [("AuthenticationError", 401), ("PaymentRequiredError", 402), ("Timeout", 408), ("InternalServerError", 500)],
)
async def test_its_guesses_by_words_shut_no_account_where_the_provider_only_refused(provider, sdk, name, status):
    error = named(name)("Invalid value: 'Invalid API Key, Request timed out'", status)
    error.__context__ = Failed("of the provider", 400)
    sdk.says = error
    with pytest.raises(UpstreamRefused, match="Invalid value"):
        await provider.whole(call(), TARGET, TERMS)
    error = named(name)("who", 401)
    error.__context__ = Failed("of the provider", 401)
    sdk.says = error
    with pytest.raises(AttemptFailed) as failed:
        await provider.whole(call(), TARGET, TERMS)
    assert failed.value.kind is FailureKind.ACCOUNT


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
