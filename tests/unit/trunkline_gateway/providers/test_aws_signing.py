"""Signatures against botocore's own signing and against the specification by hand; frames against every cutting."""

import contextlib
import hashlib
import hmac
import json
import sys
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects import matrix
from trunkline_gateway.dialects.frames import Head, wire
from trunkline_gateway.providers.aws_signing import Credentials, EventStreamParser, Library, Signer
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ConfigError, UpstreamError
from trunkline_kit.secrets import Secret
from trunkline_testkit.aws_frames import event, events, frame

URL = "https://bedrock-runtime.eu-west-1.amazonaws.com"
ARN = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-x-v1:0"
LIBRARY = Library()

models = st.one_of(st.just(ARN), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30))
bodies = st.binary(max_size=50)
tokens = st.sampled_from(["", "FwoG+/token=="])


def url_of(model):
    return f"{URL}/model/{quote(model, safe='')}/converse"


def signed(url, body, token, now_s):
    credentials = Credentials(Secret("AKID"), Secret("secret/+"), Secret(token) if token else None)
    return dict(Signer(LIBRARY, credentials, "eu-west-1", ManualClock(now_s)).headers(url, body))


@given(models, bodies, tokens)
def test_botocore_signs_the_same(model, body, token):
    request = AWSRequest(method="POST", url=url_of(model), data=body)
    SigV4Auth(BotoCredentials("AKID", "secret/+", token or None), "bedrock", "eu-west-1").add_auth(request)
    stamp = request.headers["X-Amz-Date"]
    now_s = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    ours = signed(url_of(model), body, token, now_s)
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == stamp
    assert ours.get("x-amz-security-token", "") == token


def by_hand(model, body, token, stamp):
    """AWS's specification: an encoded path is encoded once more."""
    path = f"/model/{quote(quote(model, safe=''), safe='')}/converse"
    headers = {"host": URL.removeprefix("https://"), "x-amz-date": stamp}
    headers |= {"x-amz-security-token": token} if token else {}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = f"POST\n{path}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{stamp[:8]}/eu-west-1/bedrock/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = b"AWS4secret/+"
    for piece in (*scope.split("/"), text):
        key = hmac.new(key, piece.encode(), hashlib.sha256).digest()
    return f"AWS4-HMAC-SHA256 Credential=AKID/{scope}, SignedHeaders={names}, Signature={key.hex()}"


@given(bodies, tokens, st.integers(0, 2**32))
def test_the_specification_signs_the_same(body, token, now_s):
    found = signed(url_of(ARN), body, token, now_s)
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    assert found["authorization"] == by_hand(ARN, body, token, stamp)


def test_a_signature_is_of_its_second():
    one, other = (signed(URL, b"", "", now_s)["authorization"] for now_s in (1_700_000_000, 1_700_000_001))
    assert one != other


def test_without_botocore_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    with pytest.raises(ConfigError, match=r"trunkline\[bedrock\]"):
        Library()


SAID: list[dict[str, Any]] = [
    {"messageStart": {"role": "assistant", "p": "abc"}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Grüße 👋"}}},
    {"contentBlockStop": {"contentBlockIndex": 0}},
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 9}}},
]
STREAM = b"".join(events(SAID))


def parsed(data, places=()):
    parser = EventStreamParser(LIBRARY)
    found = []
    for a, b in pairwise([0, *sorted(places), len(data)]):
        found += parser.feed(data[a:b])
    return [*found, *parser.close()]


def test_cut_at_every_byte_it_is_the_same():
    whole = parsed(STREAM)
    assert [json.loads(data) for data in whole] == SAID
    for place in range(len(STREAM)):
        assert parsed(STREAM, [place]) == whole
    assert parsed(STREAM, range(len(STREAM))) == whole


@pytest.mark.parametrize("client", matrix.CLIENTS, ids=lambda client: client.name)
@given(places=st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_every_client_gets_the_same_for_every_cutting(client, places):
    def relayed(datas):
        pair = matrix.PAIRS[client.name, "bedrock"]
        decoder, encoder = pair.provider.open_stream(), pair.client.open_stream(Head(id="x_1"), b'{"model":"m"}')
        frames = [one for data in datas for one in encoder.encode(decoder.feed(data))]
        return wire([*frames, *encoder.encode(decoder.close()), *encoder.end()])

    assert relayed(parsed(STREAM, places)) == relayed(parsed(STREAM))


@given(st.integers(0, len(STREAM) - 1), st.integers(1, 255))
def test_a_byte_that_was_changed_is_found_out(place, change):
    broken = bytearray(STREAM)
    broken[place] ^= change
    with contextlib.suppress(UpstreamError):
        # A length that became larger than the stream: its frame never ends.
        assert len(parsed(bytes(broken))) < len(SAID)


@given(st.integers(0, len(STREAM) - 1))
def test_a_stream_that_was_cut_has_fewer_messages(length):
    found = parsed(STREAM[:length])
    assert [json.loads(data) for data in found] == SAID[: len(found)]
    assert len(found) < len(SAID)


@given(st.binary(max_size=60))
def test_anything_else_is_an_error_or_nothing(data):
    with contextlib.suppress(UpstreamError):
        assert parsed(data) == []


def test_exceptions_and_errors_keep_their_names():
    thrown = event({"throttlingException": {"message": "slow down"}})
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "oh"}
    bare = frame({":message-type": "event", ":event-type": "messageStop"}, b"")
    assert [json.loads(data) for data in parsed(thrown + frame(headers, b"") + bare)] == [
        {"throttlingException": {"message": "slow down"}},
        {"error": {"message": "InternalError: oh"}},
        {"messageStop": {}},
    ]


def test_a_frame_has_a_limit():
    parser = EventStreamParser(LIBRARY)
    started = frame({":message-type": "event", ":event-type": "x"}, b'"' + b"a" * (9 * 2**20) + b'"')
    with pytest.raises(UpstreamError, match="more than"):
        parser.feed(started[:-1])
