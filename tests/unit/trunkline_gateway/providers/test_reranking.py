"""Reranking at an account: what is asked where, and what counts as a failed attempt."""

import json

import pytest

from trunkline_gateway.auth import Principal
from trunkline_gateway.pipeline import call_of
from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import Answer, AttemptFailed, Terms
from trunkline_gateway.providers.reranking import Endpoint, Reranking, cohere_endpoint, compatible_endpoint
from trunkline_gateway.rerank import DOCUMENTS
from trunkline_gateway.surface import Surface
from trunkline_gateway.turn import Turn
from trunkline_kit.errors import Unsupported, UpstreamError, UpstreamRefused
from trunkline_kit.providers import RerankForm

TARGET = Target("m", "up", "real")
TERMS = Terms(connect_s=1, total_s=1)
GOOD = b'[{"index":0,"score":0.5}]'


class Saying:
    """An account with one answer."""

    name = "up"

    def __init__(self, data=GOOD):
        self.data = data
        self.asked = []

    async def whole(self, path, body, terms):
        self.asked.append((path, json.loads(body)))
        return self.data

    def without_key(self, said):
        return said.replace(b"secret", b"***")


class Inner:
    """What else the account answers."""

    kind = "inner"

    async def whole(self, call, target, terms):
        return Answer(body=b"else")

    async def stream(self, call, target, terms):
        return "stream"

    def streams_whole(self, call, target):
        return True

    async def check(self, provider_model):
        return provider_model


def call(surface=Surface.RERANK, **members):
    turn = Turn(surface=surface, principal=Principal(key_id="k"), request_id="r", traceparent="", started_s=0.0)
    body = {"model": "m", "query": "q", "documents": ["a"], "messages": [1], **members}
    return call_of(turn, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("made", "path", "member"),
    [
        (cohere_endpoint, "/v2/rerank", "documents"),
        (lambda account: compatible_endpoint(account, RerankForm.DOCUMENTS), "/rerank", "documents"),
        (lambda account: compatible_endpoint(account, RerankForm.TEXTS), "/rerank", "texts"),
    ],
    ids=["cohere", "documents", "texts"],
)
async def test_each_server_is_asked_where_and_how_it_wants(made, path, member):
    account = Saying()
    answer = await made(account).rerank(call(), TARGET, TERMS)
    [(asked, body)] = account.asked
    assert (asked, body[member]) == (path, ["a"])
    assert json.loads(answer.body)["id"] == "rerank-r"


async def test_what_it_cannot_do_another_one_may():
    with pytest.raises(AttemptFailed) as caught:
        await cohere_endpoint(Saying()).rerank(call(rank_fields=["x"]), TARGET, TERMS)
    assert (caught.value.kind, type(caught.value.error)) == (FailureKind.UNFIT, Unsupported)


async def test_nonsense_is_a_broken_attempt_and_an_error_is_judged_by_what_it_says():
    async def failed(data, kind):
        with pytest.raises(kind) as caught:
            await Endpoint(Saying(data), "/rerank", DOCUMENTS).rerank(call(), TARGET, TERMS)
        return caught.value

    broken = await failed(b"{}", AttemptFailed)
    assert (broken.kind, type(broken.error)) == (FailureKind.BROKEN, UpstreamError)
    assert "provider 'up'" in broken.error.message
    refused = await failed(b'{"error":{"type":"invalid_request_error","message":"no secret"}}', UpstreamRefused)
    assert refused.message == "no ***"


async def test_everything_else_is_the_accounts_own():
    provider = Reranking(Inner(), cohere_endpoint(Saying()))
    chat = call(Surface.CHAT)
    assert (await provider.whole(chat, TARGET, TERMS)).body == b"else"
    assert json.loads((await provider.whole(call(), TARGET, TERMS)).body)["results"][0]["index"] == 0
    assert await provider.stream(chat, TARGET, TERMS) == "stream"
    assert (provider.streams_whole(chat, TARGET), await provider.check("x"), provider.kind) == (True, "x", "inner")
