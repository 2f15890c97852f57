"""The least a relay in Python can be: Litestar on uvicorn, aiohttp to the provider, a key check, nothing else.

What our gateway costs over this is what authentication, planning, checking of every event, metrics and truthful ends
of streams cost. Usage: `python _bare_relay.py PORT PROVIDER_PORT KEY`.
"""

import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import uvicorn
from litestar import Litestar, Request, post
from litestar.exceptions import NotAuthorizedException
from litestar.response import Response, Stream


class Asked(msgspec.Struct):
    model: str
    stream: bool = False


def relay_app(provider_port: int, key: str) -> Litestar:
    """One route."""
    url = f"http://127.0.0.1:{provider_port}/v1/chat/completions"
    known = {hashlib.sha256(f"Bearer {key}".encode()).digest()}
    decode = msgspec.json.Decoder(Asked).decode
    headers = {"content-type": "application/json", "authorization": "Bearer provider"}

    @asynccontextmanager
    async def session(app: Litestar) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as opened:
            app.state.session = opened
            yield

    async def pieces(reply: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        async with reply:
            async for piece in reply.content.iter_any():
                yield piece

    @post("/v1/chat/completions", status_code=200)
    async def chat(request: Request[Any, Any, Any]) -> Response[bytes] | Stream:
        if hashlib.sha256(request.headers.get("authorization", "").encode()).digest() not in known:
            raise NotAuthorizedException
        body = await request.body()
        reply = await request.app.state.session.post(url, data=body, headers=headers)
        if decode(body).stream:
            return Stream(pieces(reply), media_type="text/event-stream")
        async with reply:
            return Response(await reply.read(), media_type="application/json")

    return Litestar([chat], lifespan=[session], openapi_config=None, logging_config=None)


if __name__ == "__main__":
    port, provider_port, key = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    uvicorn.run(
        relay_app(provider_port, key),
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
