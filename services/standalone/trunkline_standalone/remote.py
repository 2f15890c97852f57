"""A running gateway, asked over its HTTP API: where it is, with which key, and its refusals in words."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import aiohttp
import msgspec

from trunkline_kit.errors import (
    ConfigError,
    Conflict,
    InvalidRequest,
    ObjectNotFound,
    PermissionDenied,
    TrunklineError,
    Unauthenticated,
    Unavailable,
    UpstreamError,
    VersionMismatch,
)
from trunkline_standalone.home import Home

DEFAULT_URL = "http://127.0.0.1:8080"
ADMIN = "/admin/v1"
_TIMEOUT = aiohttp.ClientTimeout(total=60.0, connect=5.0)
_PAGE = 500
_KINDS: dict[int, type[TrunklineError]] = {
    400: InvalidRequest,
    403: PermissionDenied,
    404: ObjectNotFound,
    409: Conflict,
    412: VersionMismatch,
}
_ANOTHER_KEY = "(--key or TRUNKLINE_API_KEY give another key)"

T = TypeVar("T")
Pairs = tuple[tuple[str, str], ...]
"""Of a query string; what is empty is left out."""


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """Which gateway, and who asks it. None: as the home folder says."""

    url: str | None = None
    key: str | None = None
    home: Path


class _Fault(msgspec.Struct, frozen=True):
    message: str = "the gateway gave no reason"


class _Refusal(msgspec.Struct, frozen=True):
    error: _Fault = _Fault()


class _Page(msgspec.Struct, frozen=True):
    data: tuple[msgspec.Raw, ...]
    next: str | None = None


def url_of(remote: Remote) -> str:
    """The one given, else that of the `trunkline up` of this home, else the usual one. No slash at the end."""
    url = remote.url or _text(Home(remote.home.expanduser()).url_file) or DEFAULT_URL
    return url.rstrip("/").removesuffix("/v1")


def key_of(remote: Remote) -> str:
    """The one given, else the home's. Raises ConfigError where there is none."""
    if remote.key:
        return remote.key
    path = Home(remote.home.expanduser()).key_file
    found = _text(path)
    if not found:
        raise ConfigError(
            f"no key: {path} cannot be read; start a gateway with `trunkline up`, or give --key or TRUNKLINE_API_KEY"
        )
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


@contextmanager
def told_of(url: str) -> Iterator[None]:
    """What goes wrong between us and the gateway, as errors that say what to do."""
    try:
        yield
    except aiohttp.InvalidURL as error:
        raise InvalidRequest(f"{url} is no URL; --url takes one such as {DEFAULT_URL}") from error
    except aiohttp.ClientConnectorError as error:
        raise Unavailable(
            f"no gateway answers at {url}; start one with `trunkline up`, or say where it is with --url"
        ) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UpstreamError(f"the answer broke off: {type(error).__name__}; ask again") from error


class Gateway:
    """Its admin API."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ask(self, method: str, path: str, body: object = None, query: Pairs = ()) -> bytes:
        """The answer's body. Raises TrunklineError in the gateway's words."""
        content = {"data": msgspec.json.encode(body), "headers": {"content-type": "application/json"}}
        options: dict[str, Any] = content if body is not None else {}
        pairs = [(name, value) for name, value in query if value]
        with told_of(self._url):
            request = self._session.request(method, f"{self._url}{ADMIN}{path}", params=pairs, **options)
            async with request as response:
                answer = await response.read()
                if response.status >= 400:
                    raise_refusal(response.status, answer)
                return answer

    async def one(self, kind: type[T], method: str, path: str, body: object = None) -> T:
        """The answer as what it should be."""
        return _decoded(await self.ask(method, path, body), kind)

    async def all(self, kind: type[T], path: str, query: Pairs = (), limit: int | None = None) -> list[T]:
        """A list, page after page; `limit` entries at most."""
        found: list[T] = []
        after = ""
        while limit is None or len(found) < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - len(found))
            pages = (("limit", str(size)), ("after", after))
            page = _decoded(await self.ask("GET", path, query=(*query, *pages)), _Page)
            found += [_decoded(bytes(raw), kind) for raw in page.data]
            if page.next is None:
                break
            after = page.next
        return found


@asynccontextmanager
async def connected(remote: Remote) -> AsyncIterator[Gateway]:
    """Raises ConfigError where no key is to be found."""
    headers: Mapping[str, str] = {"authorization": f"Bearer {key_of(remote)}"}
    async with aiohttp.ClientSession(timeout=_TIMEOUT, headers=headers) as session:
        yield Gateway(session, url_of(remote))


def raise_refusal(status: int, body: bytes) -> NoReturn:
    """The gateway's own words as an error, with what to do where they do not say it."""
    fault = _decoded(body, _Refusal).error.message
    if status == 401:
        raise Unauthenticated(f"{fault} {_ANOTHER_KEY}")
    if status == 403:
        raise PermissionDenied(f"{fault} {_ANOTHER_KEY}")
    kind = _KINDS.get(status)
    if kind is None:
        raise Unavailable(f"HTTP {status}: {fault}")
    raise kind(fault)


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise UpstreamError("what answered is no gateway of this version: check --url") from error
