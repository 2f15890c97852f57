"""Providers that only LiteLLM knows, through its SDK: asked and answered in OpenAI's dialect.

Callers decide on fields that are named here and on no others: the SDK takes addresses and keys as arguments too.
Source: LiteLLM 1.110.2, `acompletion`, `aembedding` and `exceptions.py`.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from trunkline_gateway import body as bodies
from trunkline_gateway.chunks import Chunk, chunk_of, look, usage_in
from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import Answer, AttemptFailed, Call, ChunkStream, Provider, Terms
from trunkline_gateway.providers.event_stream import without
from trunkline_gateway.providers.litellm_guard import answered_status, link_in
from trunkline_gateway.providers.litellm_thread import SdkThread, SharedSdk
from trunkline_gateway.providers.statuses import judge
from trunkline_gateway.providers.translation import ErrorObject
from trunkline_gateway.surface import Surface
from trunkline_kit.clock import Clock
from trunkline_kit.errors import DeadlineExceeded, InvalidRequest, Unsupported, UpstreamUnavailable
from trunkline_kit.providers import LiteLLMProvider
from trunkline_kit.secrets import Secret, is_reference, resolve

_CONVERSATION: Final = frozenset(
    {
        "messages",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "temperature",
        "top_p",
        "n",
        "stop",
        "max_tokens",
        "max_completion_tokens",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "seed",
        "user",
        "response_format",
        "reasoning_effort",
        "modalities",
        "audio",
        "verbosity",
        "thinking",
        "web_search_options",
    }
)
_COMPLETION: Final = frozenset(
    {
        "prompt",
        "suffix",
        "echo",
        "best_of",
        "temperature",
        "top_p",
        "n",
        "stop",
        "max_tokens",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "seed",
        "user",
    }
)
_TAKEN: Final = {
    Surface.CHAT: ("acompletion", _CONVERSATION),
    Surface.COMPLETION: ("atext_completion", _COMPLETION),
    Surface.EMBEDDING: ("aembedding", frozenset({"input", "dimensions", "encoding_format", "user"})),
}
"""Of each surface: the SDK's function, and the fields that callers may fill in."""
_LEFT_OUT: Final = frozenset(
    {
        "model",
        "stream",
        "stream_options",
        "store",
        "metadata",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prediction",
    }
)
"""Said otherwise, or nothing that an answer depends on."""

_CODES: Final = {
    "ContextWindowExceededError": "context_length_exceeded",
    "ContentPolicyViolationError": "content_filter",
    "PaymentRequiredError": "insufficient_quota",
}
"""What the SDK says by the name of an error."""
_OF_THE_REQUEST: Final = frozenset(
    {"BadRequestError", "ContextWindowExceededError", "ContentPolicyViolationError", "UnsupportedParamsError"}
)
"""Errors that say nothing of an account or of a deployment."""
_JUDGED: Final = frozenset(range(400, 500)) - {408}
"""Statuses of a provider that say more than the name that the SDK finds for them."""
_LIMITED: Final = "rate_limit_exceeded"
_PARAMETERS: Final = re.compile(r"does not support parameters: \['(?P<name>\w+)'")

_encode = msgspec.json.Encoder().encode


class LiteLLM:
    """One account at one of its providers."""

    kind = "litellm"

    def __init__(
        self, settings: LiteLLMProvider, secrets: Mapping[str, Secret], sdk: SdkThread, judge: "Judge"
    ) -> None:
        self.name = judge.provider
        self._settings = settings
        self._secrets = secrets
        """Arguments of every call, by name."""
        self._sdk = sdk
        self._judge = judge

    async def whole(self, call: Call, target: Target, terms: Terms) -> Answer:
        function, arguments = self._arguments(call, target, terms)
        try:
            found = await self._sdk.run(getattr(self._sdk.sdk, function)(**arguments))
            data = _json(found)
        except Exception as error:  # noqa: BLE001 - whatever a foreign library raises has failed this attempt only
            raise self._judge.before(error) from None
        return Answer(body=data, usage=usage_in(look(data).usage))

    async def stream(self, call: Call, target: Target, terms: Terms) -> ChunkStream:
        function, arguments = self._arguments(call, target, terms)
        arguments |= {"stream": True, "stream_options": {"include_usage": True}}
        try:
            events = await self._sdk.run(getattr(self._sdk.sdk, function)(**arguments))
        except Exception as error:  # noqa: BLE001 - as above
            raise self._judge.before(error) from None
        return SdkStream(self._sdk, events, self._judge)

    def streams_whole(self, call: Call, target: Target) -> bool:  # noqa: ARG002 - the Protocol's
        return False

    async def check(self, provider_model: str) -> str | None:  # noqa: ARG002 - the Protocol's
        """Always fit: only a request shows whether a foreign provider answers, and asking costs its rate."""
        return f"{self._settings.provider} by LiteLLM, not probed"

    def _arguments(self, call: Call, target: Target, terms: Terms) -> tuple[str, dict[str, Any]]:
        """The SDK's function and what it gets. Raises AttemptFailed for what is not for it, InvalidRequest."""
        function, taken = _TAKEN.get(call.surface, ("", frozenset()))
        if not function:
            text = f"provider {self.name!r} does not answer {call.surface.value} requests"
            raise AttemptFailed(FailureKind.UNFIT, Unsupported(text, param="model"))
        members = bodies.members_of(call.body)
        self._refuse(members, taken)
        arguments = {name: _value(name, raw) for name, raw in members.items() if name in taken}
        if (name := link_in(arguments.get("messages"))) is not None:
            text = f"{name} by URL cannot be passed on to provider {self.name!r}; send the data in place"
            raise AttemptFailed(FailureKind.UNFIT, Unsupported(text, param="messages"))
        arguments |= {name: secret.reveal() for name, secret in self._secrets.items()}
        arguments["model"] = f"{self._settings.provider}/{target.provider_model}"
        arguments |= {"timeout": terms.total_s, "num_retries": 0, "max_retries": 0, "no-log": True}
        if self._settings.base_url is not None:
            arguments["api_base"] = self._settings.base_url
        return function, arguments

    def _refuse(self, members: bodies.Members, taken: frozenset[str]) -> None:
        for name, raw in members.items():
            if name not in taken and name not in _LEFT_OUT and bytes(raw) != b"null":
                text = f"{name} cannot be passed on to provider {self.name!r}"
                raise AttemptFailed(FailureKind.UNFIT, Unsupported(text, param=name))


class Judge:
    """What errors of the SDK mean."""

    def __init__(self, provider: str, secrets: Sequence[Secret], clock: Clock) -> None:
        self.provider = provider
        self._secrets = secrets
        self._clock = clock

    def before(self, error: Exception) -> Exception:
        """Of one that came before anything else: what to raise."""
        name, status = type(error).__name__, getattr(error, "status_code", None)
        told = answered_status(error)
        if told is not None and told in _JUDGED and name not in _OF_THE_REQUEST:
            # The SDK goes by words in the answer as well, which may be a caller's that the provider repeats.
            name, status = "BadRequestError", told
        if name == "Timeout":
            text = f"provider {self.provider!r} did not answer in time"
            return AttemptFailed(FailureKind.SILENT, DeadlineExceeded(text))
        if name == "APIConnectionError" or not isinstance(status, int) or status < 400:
            text = f"provider {self.provider!r} failed: {name}"
            return AttemptFailed(FailureKind.BROKEN, UpstreamUnavailable(text))
        said = self._said(error, name, status)
        if name == "UnsupportedParamsError":
            found = _PARAMETERS.search(said.message)
            param = found["name"] if found else None
            text = f"{param or 'a field of the request'} is not supported by this model"
            return AttemptFailed(FailureKind.UNFIT, Unsupported(text, param=param))
        response = getattr(error, "response", None)
        headers = {key.lower(): value for key, value in dict(getattr(response, "headers", None) or {}).items()}
        return judge(self.provider, status, headers, _encode({"error": said}), self._clock.now_s())

    def within(self, error: Exception) -> Chunk:
        """Of one in the middle of a stream, as a provider would say it there."""
        name, status = type(error).__name__, getattr(error, "status_code", None)
        return Chunk(b"", error=_encode(self._said(error, name, status)))

    def _said(self, error: Exception, name: str, status: int | None) -> ErrorObject:
        """Without what only the SDK is to know."""
        data = str(getattr(error, "message", "") or error).encode(errors="replace")
        for secret in self._secrets:
            data = without(secret, data)
        code = _CODES.get(name) or getattr(error, "code", None) or (_LIMITED if status == 429 else "")
        kind = "invalid_request_error" if status in {400, 422} else ""
        return ErrorObject(data.decode(), kind, str(code))


class SdkStream:
    """A stream under way in the SDK's thread, asked for its next piece when that is wanted."""

    __slots__ = ("_ended", "_events", "_judge", "_left", "_sdk")

    def __init__(self, sdk: SdkThread, events: Any, judge: Judge) -> None:
        self._sdk = sdk
        self._events = events
        self._judge = judge
        self._ended = False
        self._left = False

    async def next(self) -> list[Chunk] | None:
        if self._ended:
            return None
        try:
            return [chunk_of(_json(await self._sdk.run(self._events.__anext__())))]
        except StopAsyncIteration:
            self._ended = True
            return None
        except Exception as error:  # noqa: BLE001 - whatever a foreign library raises has ended this stream only
            self._ended = True
            return [self._judge.within(error)]

    def ending(self) -> list[Chunk]:
        return []

    async def release(self) -> None:
        self.cut()

    def cut(self) -> None:
        if not self._left:
            self._left = True
            self._sdk.leave(self._events.aclose())


def _value(name: str, raw: msgspec.Raw) -> Any:
    """What goes to the SDK. Raises InvalidRequest."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{name} cannot be read: {error}", param=name) from error


def _json(found: Any) -> bytes:
    """One of the SDK's own objects."""
    return bytes(found.model_dump_json().encode())


@asynccontextmanager
async def open_litellm(
    name: str, settings: LiteLLMProvider, environment: Mapping[str, str], clock: Clock, shared: SharedSdk
) -> AsyncIterator[Provider]:
    """Raises ConfigError for secrets that are not there, and where LiteLLM is not installed."""
    secrets = {key: resolve(value, environment) for key, value in settings.parameters.items()}
    if settings.api_key is not None:
        secrets["api_key"] = resolve(settings.api_key, environment)
    hidden = [secrets[key] for key in secrets if key == "api_key" or is_reference(settings.parameters[key])]
    yield LiteLLM(settings, secrets, await shared.opened(name), Judge(name, hidden, clock))
