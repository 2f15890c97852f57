"""Reranking at an account over HTTP. Servers differ in what they call things, not in what they do."""

import msgspec

from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import (
    Answer,
    AttemptFailed,
    Call,
    ChunkStream,
    PieceStream,
    Provider,
    Terms,
    forget,
)
from trunkline_gateway.providers.http_account import Account
from trunkline_gateway.providers.statuses import in_stream
from trunkline_gateway.rerank import COHERE, DOCUMENTS, TEXTS, Shape, asked_of, error_in, ranked, request_for
from trunkline_gateway.surface import PATHS, Surface
from trunkline_kit.errors import Unsupported, UpstreamError
from trunkline_kit.providers import RerankForm
from trunkline_policy.faults import FailureKind

COHERE_PATH = "/v2/rerank"


class Endpoint(msgspec.Struct, frozen=True):
    """Where an account reranks, and how it wants to be asked."""

    account: Account
    path: str
    shape: Shape

    async def rerank(self, call: Call, target: Target, terms: Terms) -> Answer:
        """Raises AttemptFailed, or a TrunklineError the caller must see."""
        try:
            body = request_for(call.body, target.provider_model, self.shape)
        except Unsupported as error:
            # Another deployment may be one that can.
            raise AttemptFailed(FailureKind.UNFIT, error) from error
        data = await self.account.whole(self.path, body, terms)
        try:
            found = ranked(data, asked_of(call.body), f"rerank-{call.request_id}")
        except UpstreamError as error:
            if said := error_in(data):
                raise in_stream(self.account.name, self.account.without_key(said)) from error
            text = f"provider {self.account.name!r}: {error.message}"
            raise AttemptFailed(FailureKind.BROKEN, UpstreamError(text)) from error
        return Answer(body=found.body, usage=found.usage)


def compatible_endpoint(account: Account, form: RerankForm) -> Endpoint:
    """Of a server that speaks OpenAI's dialect, which has no reranking itself."""
    return Endpoint(account, PATHS[Surface.RERANK], TEXTS if form is RerankForm.TEXTS else DOCUMENTS)


def cohere_endpoint(account: Account) -> Endpoint:
    """Of Cohere itself."""
    return Endpoint(account, COHERE_PATH, COHERE)


class Reranking:
    """Reranking beside whatever else an account answers."""

    def __init__(self, inner: Provider, endpoint: Endpoint) -> None:
        self.kind = inner.kind
        self.inner = inner
        self._endpoint = endpoint

    async def whole(self, call: Call, target: Target, terms: Terms) -> Answer | PieceStream:
        if call.surface is Surface.RERANK:
            return await self._endpoint.rerank(call, target, terms)
        return await self.inner.whole(call, target, terms)

    async def stream(self, call: Call, target: Target, terms: Terms) -> ChunkStream:
        return await self.inner.stream(call, target, terms)

    def streams_whole(self, call: Call, target: Target) -> bool:
        return self.inner.streams_whole(call, target)

    async def check(self, provider_model: str) -> str | None:
        return await self.inner.check(provider_model)

    async def forget(self, response_id: str, terms: Terms) -> None:
        await forget(self.inner, response_id, terms)
