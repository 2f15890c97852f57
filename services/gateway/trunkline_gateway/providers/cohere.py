"""Cohere's API, version 2: conversations are translated, embeddings are asked for in OpenAI's shape.

Source: Cohere API reference, "Chat", "Embed" and "Errors" (read 2026-11-25).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from trunkline_gateway.dialects.cohere_embeddings import Batch, Vectors, batches_of, vectors_in, whole
from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import Answer, AttemptFailed, Call, ChunkStream, PieceStream, Provider, Terms
from trunkline_gateway.providers.foreign import Fixed, Foreign
from trunkline_gateway.providers.http_account import Account, open_session
from trunkline_gateway.providers.reranking import Reranking, cohere_endpoint
from trunkline_gateway.surface import Surface
from trunkline_gateway.usage import usage_of
from trunkline_kit.clock import Clock
from trunkline_kit.errors import InvalidRequest, UpstreamError
from trunkline_kit.providers import CohereProvider
from trunkline_kit.secrets import Secret, resolve

CHAT_PATH, EMBED_PATH = "/v2/chat", "/v2/embed"


class Embedding:
    """Embeddings beside conversations."""

    def __init__(self, inner: Provider, account: Account) -> None:
        self.kind = inner.kind
        self._inner = inner
        self._account = account

    async def whole(self, call: Call, target: Target, terms: Terms) -> Answer | PieceStream:
        if call.surface is Surface.EMBEDDING:
            return await self._embed(call, target, terms)
        return await self._inner.whole(call, target, terms)

    async def stream(self, call: Call, target: Target, terms: Terms) -> ChunkStream:
        return await self._inner.stream(call, target, terms)

    def streams_whole(self, call: Call, target: Target) -> bool:
        return self._inner.streams_whole(call, target)

    async def check(self, provider_model: str) -> str | None:
        return await self._inner.check(provider_model)

    async def _embed(self, call: Call, target: Target, terms: Terms) -> Answer:
        """One call after the other: all of them are one attempt, under its clock."""
        found: list[Vectors] = []
        for batch in batches_of(call.body, target.provider_model):
            found.append(await self._vectors(batch, terms, is_first=not found))
            # Whatever becomes of the others, this one is to be paid.
            terms.witness.billed(usage_of(sum(each.tokens for each in found), 0))
        body, usage = whole(found, call.control.model)
        return Answer(body=body, usage=usage)

    async def _vectors(self, batch: Batch, terms: Terms, *, is_first: bool) -> Vectors:
        try:
            return vectors_in(await self._account.whole(EMBED_PATH, batch.body, terms), batch.count)
        except UpstreamError as error:
            text = f"provider {self._account.name!r}: {error.message}"
            raise AttemptFailed(FailureKind.BROKEN, UpstreamError(text)) from error
        except InvalidRequest as error:
            if is_first:
                raise
            # Refused as a whole it would cost nothing, but those before it do.
            raise AttemptFailed(FailureKind.UNFIT, error) from error


@asynccontextmanager
async def open_cohere(
    name: str, settings: CohereProvider, environment: Mapping[str, str], clock: Clock, connections: int
) -> AsyncIterator[Provider]:
    """Raises ConfigError for a key that is not there."""
    key = Secret("") if settings.api_key is None else resolve(settings.api_key, environment)
    headers = {"authorization": f"Bearer {key.reveal()}"} if key.reveal() else {}
    wire = Fixed(protocol="cohere", path_of=lambda _target, _as_stream: CHAT_PATH)
    async with open_session(headers, connections) as session:
        account = Account(name, settings.base_url, key, session, clock)
        provider = Embedding(Foreign("cohere", account, wire, clock), account)
        yield Reranking(provider, cohere_endpoint(account))
