"""Other dialects in front of a provider that speaks chat completions: our own workers and every compatible server."""

from collections.abc import Callable
from functools import partial

import msgspec

from trunkline_gateway import body as bodies
from trunkline_gateway.chunks import Chunk
from trunkline_gateway.dialects.openai_chat_requests import Quirks, encode_request
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import Answer, Call, ChunkStream, PieceStream, Provider, Terms, forget
from trunkline_gateway.providers.translation import EncodeRequest, StreamTranslation, Translation
from trunkline_gateway.surface import CONTROL_DECODERS, Surface
from trunkline_kit.clock import Clock

TRANSLATED = frozenset({Surface.MESSAGES, Surface.RESPONSES})
"""Surfaces that are answered over chat completions."""


class OverChat:
    """The provider itself for every surface but those."""

    def __init__(
        self,
        inner: Provider,
        clock: Clock,
        quirks: Quirks | None = None,
        translated: frozenset[Surface] = TRANSLATED,
    ) -> None:
        self.kind = inner.kind
        self.translated = translated
        self.inner = inner
        self._encode = None if quirks is None else partial(encode_request, quirks=quirks)
        self._clock = clock

    async def whole(self, call: Call, target: Target, terms: Terms) -> Answer | PieceStream:
        if call.surface not in self.translated:
            return await self.inner.whole(call, target, terms)
        translation = self._translation(call)
        found = await self.inner.whole(chat_call(call, translation, target, self._encode), target, terms)
        if isinstance(found, Answer):
            return translated(translation, found, target)
        return TranslatedPieces(found, lambda answer: translated(translation, answer, target))

    def streams_whole(self, call: Call, target: Target) -> bool:
        # Events of other dialects come together in another way.
        is_native = call.surface in TRANSLATED and call.surface not in self.translated
        return not is_native and self.inner.streams_whole(call, target)

    async def stream(self, call: Call, target: Target, terms: Terms) -> ChunkStream:
        if call.surface not in self.translated:
            return await self.inner.stream(call, target, terms)
        translation = self._translation(call)
        stream = await self.inner.stream(chat_call(call, translation, target, self._encode), target, terms)
        return TranslatedStream(stream, translation.stream())

    async def check(self, provider_model: str) -> str | None:
        return await self.inner.check(provider_model)

    async def forget(self, response_id: str, terms: Terms) -> None:
        await forget(self.inner, response_id, terms)

    def _translation(self, call: Call) -> Translation:
        return Translation(call, "openai", int(self._clock.now_s()))


def speaks(provider: Provider, surface: Surface) -> bool:
    """Whether requests of a dialect that others are spared go to this provider as they came."""
    return isinstance(provider, OverChat) and surface in TRANSLATED - provider.translated


def chat_call(call: Call, translation: Translation, target: Target, encode: EncodeRequest | None = None) -> Call:
    """The same request as a chat completion. Raises InvalidRequest, Unsupported."""
    body = translation.request(target, encode=encode)
    control = bodies.decode(body, CONTROL_DECODERS[Surface.CHAT])
    # Who makes ids here, as our own workers do, makes the caller's.
    answer_id = call.answer_id or translation.spare_id
    return msgspec.structs.replace(call, surface=Surface.CHAT, body=body, control=control, answer_id=answer_id)


def translated(translation: Translation, answer: Answer, target: Target) -> Answer:
    """A chat completion in the caller's dialect. Raises AttemptFailed for one that is none."""
    found = translation.answer(answer.body, target.provider)
    return msgspec.structs.replace(found, usage=answer.usage)


class TranslatedPieces:
    """A stream of chat chunks that is read to its end, and translated then."""

    __slots__ = ("_inner", "translated")

    def __init__(self, inner: PieceStream, translate: Callable[[Answer], Answer]) -> None:
        self._inner = inner
        self.translated = translate

    async def next(self) -> list[Chunk] | None:
        return await self._inner.next()

    async def more(self, pause_s: float) -> int | None:
        return await self._inner.more(pause_s)

    def rest(self) -> list[bytes]:
        return self._inner.rest()

    def ending(self) -> list[Chunk]:
        return self._inner.ending()

    async def release(self) -> None:
        await self._inner.release()

    def cut(self) -> None:
        self._inner.cut()


class TranslatedStream:
    """A stream of chat chunks as events of another dialect."""

    __slots__ = ("_ended", "_inner", "_translation")

    def __init__(self, inner: ChunkStream, translation: StreamTranslation) -> None:
        self._inner = inner
        self._translation = translation
        self._ended = False

    async def next(self) -> list[Chunk] | None:
        while not self._ended:
            batch = await self._inner.next()
            if batch is None:
                self._ended = True
                chunks = self._translation.close()
            else:
                chunks = [out for chunk in batch for out in self._translated(chunk)]
            if chunks:
                return chunks
        return None

    def _translated(self, chunk: Chunk) -> list[Chunk]:
        """Errors are judged as they came, and what makes no sense is counted."""
        return [chunk] if chunk.error or chunk.malformed else self._translation.feed([chunk.data])

    def ending(self) -> list[Chunk]:
        if self._ended:
            return []
        self._ended = True
        return self._translation.close()

    async def release(self) -> None:
        await self._inner.release()

    def cut(self) -> None:
        self._inner.cut()
