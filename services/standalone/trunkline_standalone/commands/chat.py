"""`trunkline chat`: one question to a running gateway over its HTTP API, printed as it comes."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec

from trunkline_kit.errors import InvalidRequest, TrunklineError, Unauthenticated, Unavailable, UpstreamError
from trunkline_kit.printable import printable_lines
from trunkline_standalone.remote import DEFAULT_URL, Remote, key_of, told_of, url_of

_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5.0, sock_read=120.0)
_LINE_BYTES_MAX = 1 << 20
_DATA = b"data:"
_DONE = b"[DONE]"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask whom."""

    text: str
    model: str
    url: str | None
    """None: the gateway of the home folder."""
    key: str | None
    """None: the home folder's."""
    system: str | None
    stream: bool


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Message = _Message()
    message: _Message = _Message()


class _Fault(msgspec.Struct, frozen=True):
    message: str = "the gateway gave no reason"


class _Answer(msgspec.Struct, frozen=True):
    """A chunk, a whole answer or an error: what of it is printed."""

    choices: tuple[_Choice, ...] = ()
    error: _Fault | None = None


def run_chat(question: Question, home: Path) -> None:
    """Ask and print. Raises TrunklineError in words for people."""
    if question.text == "-":
        question = msgspec.structs.replace(question, text=sys.stdin.read())
    if not question.text.strip():
        raise InvalidRequest("nothing to say; give the text, or `-` and something on standard input")
    remote = Remote(url=question.url, key=question.key, home=home)
    asyncio.run(_print(msgspec.structs.replace(question, url=url_of(remote)), key_of(remote)))


async def _print(question: Question, key: str) -> None:
    try:
        async for text in answer(question, key):
            # What a model says is no command to the terminal.
            sys.stdout.write(printable_lines(text) if sys.stdout.isatty() else text)
            sys.stdout.flush()
    finally:
        sys.stdout.write("\n")


async def answer(question: Question, key: str) -> AsyncIterator[str]:
    """The answer's pieces. Raises Unavailable when nobody listens, UpstreamError for an answer that breaks off."""
    base = (question.url or DEFAULT_URL).rstrip("/").removesuffix("/v1")
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with told_of(base):
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, read_bufsize=_LINE_BYTES_MAX) as session,
            session.post(f"{base}/v1/chat/completions", data=_body(question), headers=headers) as response,
        ):
            if response.status != 200:
                raise _refusal(response.status, await response.read())
            pieces = _pieces(response.content) if question.stream else _whole(response)
            async for text in pieces:
                yield text


def _body(question: Question) -> bytes:
    messages = [{"role": "user", "content": question.text}]
    if question.system:
        messages.insert(0, {"role": "system", "content": question.system})
    return msgspec.json.encode({"model": question.model, "messages": messages, "stream": question.stream})


async def _pieces(lines: aiohttp.StreamReader) -> AsyncIterator[str]:
    """Of a stream of server-sent events; it must end with `[DONE]`."""
    async for line in lines:
        data = line.removeprefix(_DATA).strip()
        if not line.startswith(_DATA):
            continue
        if data == _DONE:
            return
        found = _decode(data)
        if found.error is not None:
            raise UpstreamError(found.error.message)
        for choice in found.choices[:1]:
            yield choice.delta.content or ""
    raise UpstreamError("the answer broke off before its end; ask again")


async def _whole(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    for choice in _decode(await response.read()).choices[:1]:
        yield choice.message.content or ""


def _decode(data: bytes) -> _Answer:
    try:
        return msgspec.json.decode(data, type=_Answer)
    except msgspec.DecodeError as error:
        raise UpstreamError("what answered is no gateway: its answer is not JSON; check --url") from error


def _refusal(status: int, body: bytes) -> TrunklineError:
    fault = (_decode(body).error or _Fault()).message
    if status == 401:
        return Unauthenticated(f"{fault} (--key, TRUNKLINE_API_KEY or --home give another key)")
    return Unavailable(f"HTTP {status}: {fault}")
