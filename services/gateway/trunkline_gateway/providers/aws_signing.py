"""What AWS has of its own below JSON: signed requests, and streams in frames with checksums. By botocore's code.

botocore is an extra. It is loaded when an account at AWS is opened, never before: that takes a fifth of a second.
Sources: AWS, "Signature Version 4 signing process" and "Event stream encoding" (read 2026-11-25).
"""

import importlib
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from trunkline_gateway.sse import EVENT_BYTES_MAX
from trunkline_kit.clock import Clock
from trunkline_kit.errors import ConfigError, UpstreamError
from trunkline_kit.secrets import Secret

EVENT_STREAM: Final = "application/vnd.amazon.eventstream"
SERVICE: Final = "bedrock"
"""As signatures name it."""
_TIMESTAMP = "%Y%m%dT%H%M%SZ"


class Credentials(msgspec.Struct, frozen=True):
    """An access key; the token is only there for one that does not last."""

    access_key_id: Secret
    secret_access_key: Secret
    session_token: Secret | None = None


class Library:
    """As much of botocore as is used. It has no types."""

    def __init__(self) -> None:
        """Raises ConfigError where it is not installed."""
        try:
            self.auth: Any = importlib.import_module("botocore.auth")
            self.requests: Any = importlib.import_module("botocore.awsrequest")
            self.credentials: Any = importlib.import_module("botocore.credentials")
            self.streams: Any = importlib.import_module("botocore.eventstream")
        except ImportError as error:
            text = "providers of kind bedrock need botocore; install the extra: pip install 'trunkline[bedrock]'"
            raise ConfigError(text) from error


class Signer:
    """Signs requests to one region."""

    def __init__(self, library: Library, credentials: Credentials, region: str, clock: Clock) -> None:
        token = credentials.session_token
        self._library = library
        self._clock = clock
        self._token = "" if token is None else token.reveal()
        frozen = library.credentials.ReadOnlyCredentials(
            credentials.access_key_id.reveal(), credentials.secret_access_key.reveal(), self._token or None
        )
        self._auth: Any = library.auth.SigV4Auth(frozen, SERVICE, region)

    def headers(self, url: str, body: bytes) -> list[tuple[str, str]]:
        """What a POST of `body` needs; it holds for some minutes. `url` is percent-encoded as it will be sent."""
        now = datetime.fromtimestamp(self._clock.now_s(), UTC).strftime(_TIMESTAMP)
        found = [("x-amz-date", now), *([("x-amz-security-token", self._token)] if self._token else [])]
        request = self._library.requests.AWSRequest(method="POST", url=url, data=body, headers=dict(found))
        request.context["timestamp"] = now
        text = self._auth.string_to_sign(request, self._auth.canonical_request(request))
        signed = self._auth.signed_headers(self._auth.headers_to_sign(request))
        proof = self._auth.signature(text, request)
        value = f"AWS4-HMAC-SHA256 Credential={self._auth.scope(request)}, SignedHeaders={signed}, Signature={proof}"
        return [*found, ("authorization", value)]


class EventStreamParser:
    """Frames in, and the JSON of each message out as one object with its name: `{"messageStop":{…}}`.

    Raises UpstreamError for what breaks the frames' checksums or lengths: nothing after it can be trusted.
    """

    def __init__(self, library: Library) -> None:
        self._broken: tuple[type[Exception], ...] = (library.streams.ParserError, UnicodeDecodeError, KeyError)
        self._buffer: Any = library.streams.EventStreamBuffer()
        self._waiting_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        self._buffer.add_data(data)
        self._waiting_bytes += len(data)
        found: list[bytes] = []
        try:
            for message in self._buffer:
                self._waiting_bytes -= message.prelude.total_length
                found.append(_named(message.headers, message.payload))
        except self._broken as error:
            raise UpstreamError(f"the provider sent a stream with a broken frame: {type(error).__name__}") from error
        if self._waiting_bytes > EVENT_BYTES_MAX:
            raise UpstreamError(f"the provider sent an event of more than {EVENT_BYTES_MAX} bytes")
        return found

    def close(self) -> list[bytes]:
        """Half a frame is nothing."""
        return []


def _named(headers: dict[str, Any], payload: bytes) -> bytes:
    kind = headers.get(":message-type")
    if kind == "error":
        message = f"{headers.get(':error-code', '')}: {headers.get(':error-message', '')}"
        return msgspec.json.encode({"error": {"message": message}})
    name = headers.get(":exception-type" if kind == "exception" else ":event-type", "")
    return b"{" + msgspec.json.encode(str(name)) + b":" + (payload or b"{}") + b"}"
