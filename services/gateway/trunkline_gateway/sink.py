"""Where answers go: HTTP or gRPC. The pipeline does not know which."""

from typing import Protocol

from trunkline_kit.errors import TrunklineError

Headers = list[tuple[str, str]]


class Sink(Protocol):
    """Takes either one `whole`, or `open`, `events` …, and then `done` or `broken`."""

    async def whole(self, body: bytes, headers: Headers) -> None:
        """The complete answer."""

    async def open(self, headers: Headers) -> None:
        """A stream begins: from here on errors can only be told inside it."""

    async def events(self, chunks: list[bytes]) -> None:
        """The JSON of one or more chunks, to be sent together."""

    async def done(self) -> None:
        """The stream is complete."""

    async def broken(self, error: TrunklineError) -> None:
        """The stream ends here and is not complete."""
