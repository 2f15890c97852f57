"""A stand-in for any generated servicer: queued replies, recorded requests, nothing left over at the end."""

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any


class Intercepted:
    """Register it in place of a servicer: `partial(add_XServiceServicer_to_server, intercepted)`.

    A method without a queued reply answers UNIMPLEMENTED. Use `check()` at the end of a test.
    """

    def __init__(self) -> None:
        self._replies: defaultdict[str, deque[Any]] = defaultdict(deque)
        self._requests: defaultdict[str, list[Any]] = defaultdict(list)

    def reply(self, method: str, *replies: Any) -> None:
        """Queue replies: a message, a list of messages for a stream, an exception, or a function of the request."""
        self._replies[method].extend(replies)

    def requests(self, method: str) -> list[Any]:
        """What `method` was asked, in order; for a client stream, a list of messages each time."""
        return self._requests[method]

    def check(self) -> None:
        """Raise AssertionError if a queued reply was never asked for."""
        left = {method: len(replies) for method, replies in self._replies.items() if replies}
        if left:
            raise AssertionError(f"replies never asked for: {left}")

    def __getattr__(self, method: str) -> Callable[[Any, Any], Any]:
        if method.startswith("_"):
            raise AttributeError(method)

        def answer(request: Any, context: Any) -> Any:
            del context
            if not self._replies[method]:
                raise NotImplementedError(method)
            reply = self._replies[method].popleft()
            if isinstance(reply, list):
                return self._stream(method, request, reply)
            return self._single(method, request, reply)

        return answer

    async def _single(self, method: str, request: Any, reply: Any) -> Any:
        received = await self._record(method, request)
        if isinstance(reply, BaseException):
            raise reply
        answer = reply(received) if callable(reply) else reply
        return await answer if isinstance(answer, Awaitable) else answer

    async def _stream(self, method: str, request: Any, messages: list[Any]) -> AsyncIterator[Any]:
        await self._record(method, request)
        for message in messages:
            if isinstance(message, BaseException):
                raise message
            yield message

    async def _record(self, method: str, request: Any) -> Any:
        received = [message async for message in request] if hasattr(request, "__aiter__") else request
        self._requests[method].append(received)
        return received
