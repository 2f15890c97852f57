"""A gateway for real clients, in front of scripted providers of both dialects."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.app import open_gateway
from trunkline_gateway.config import GatewayConfig
from trunkline_kit.clock import SystemClock
from trunkline_kit.config import decode
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import Tracing
from trunkline_testkit.scripted import answer
from trunkline_testkit.upstream import FakeUpstream, open_fake_upstream

KEY = "tl-client-key"
CLIENT_TIMEOUT_S = 55.0


class Served(msgspec.Struct, frozen=True):
    """A running gateway."""

    url: str
    upstream: FakeUpstream

    async def led(self, *command: str | Path) -> dict[str, Any]:
        """The report of a driver: `COMMAND… URL KEY`, run as a process of its own."""
        process = await asyncio.create_subprocess_exec(
            *command,
            self.url,
            KEY,
            env=environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_S):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, err.decode()[-4000:]
        report: dict[str, Any] = msgspec.json.decode(out)
        return report


def environment() -> dict[str, str]:
    """What a client needs of ours; never a key, a base URL or a proxy that a developer has set."""
    own = os.environ  # noqa: TID251 - handed to processes that a test starts
    return {name: own[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in own} | {"NO_PROXY": "*"}


def settings(base_url: str) -> dict[str, Any]:
    """`gpt` is at a server of OpenAI's dialect, `claude` at one of Anthropic's; two models are for trouble."""
    chat = {"kind": "openai", "base_url": base_url}

    def at(provider: str, model: str) -> dict[str, Any]:
        return {"deployments": [{"provider": provider, "model": model}]}

    return {
        "listen": {"http": "127.0.0.1:0", "grpc": "127.0.0.1:0"},
        "keys": [{"id": "clients", "secret": f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"}],
        "providers": {
            "chat": chat,
            "messages": {"kind": "anthropic", "base_url": base_url.removesuffix("/v1")},
            "busy": chat,
        },
        "models": {
            "gpt": at("chat", "gpt"),
            "claude": at("messages", "claude"),
            "busy": at("busy", "busy"),
            "breaking": at("chat", "breaking"),
        },
    }


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(open_fake_upstream(answer))
        kit = Kit(net=Net(), clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})
        config = GatewayConfig.from_settings(decode(settings(upstream.base_url), Settings))
        gateway = await stack.enter_async_context(open_gateway(config, kit))
        yield Served(gateway.address, upstream)
