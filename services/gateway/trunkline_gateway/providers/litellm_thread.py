"""LiteLLM's SDK, imported and run in a thread of its own.

Its import takes seconds and its calls milliseconds of CPU each, which the loop that serves all other requests is not to
wait for. Nothing of it is imported before a configuration names a provider of this kind.
"""

import asyncio
import importlib
import logging
import os
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeVar

from trunkline_kit.errors import ConfigError

T = TypeVar("T")

STOP_S: Final = 5.0
"""How long what is under way may take to end."""
_LOGGERS: Final = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
_QUIET: Final[dict[str, Any]] = {
    "telemetry": False,
    "suppress_debug_info": True,
    "turn_off_message_logging": True,
    "disable_streaming_logging": True,
    "num_retries": 0,
    "drop_params": False,
    "modify_params": False,
}
"""Attempts, records and refusals are the gateway's. Source: LiteLLM 1.110.2, `litellm/__init__.py`."""


class SdkThread:
    """Runs coroutines of the SDK on a loop in another thread, for whoever awaits them here."""

    def __init__(self, sdk: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.sdk = sdk
        """The module `litellm`, or what does as it does."""
        self._loop = loop

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What it comes to. Cancelled here, it is cancelled there."""
        return await asyncio.wrap_future(self._send(work))

    def leave(self, work: Coroutine[Any, Any, Any]) -> None:
        """Nobody waits for its end, or wants to know of it."""
        self._send(work).add_done_callback(_heard)

    def _send(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)


class SharedSdk:
    """One thread for all accounts, since the SDK's own state is the process'; opened by the first of them."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._opened: SdkThread | None = None

    async def opened(self, name: str) -> SdkThread:
        """`name` is the provider's. Raises ConfigError where LiteLLM is not installed."""
        if self._opened is None:
            self._opened = await self._stack.enter_async_context(open_sdk(name))
        return self._opened


def _heard(done: "Future[Any]") -> None:
    if not done.cancelled():
        done.exception()


@asynccontextmanager
async def open_sdk(name: str) -> AsyncIterator[SdkThread]:
    """Until the block ends. `name` is the provider's. Raises ConfigError where LiteLLM is not installed."""
    try:
        sdk = await asyncio.to_thread(_load)
    except ImportError as error:
        text = f"providers.{name}: kind litellm needs LiteLLM ({error}); run `pip install trunkline[litellm]`"
        raise ConfigError(text) from error
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="litellm", daemon=True)
    thread.start()
    opened = SdkThread(sdk, loop)
    try:
        yield opened
    finally:
        await opened.run(_end(loop))
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join, STOP_S)
        loop.close()


def _load() -> Any:
    """Raises ImportError."""
    # It fetches a list of prices while it is imported unless the process' environment says this.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # noqa: TID251 - LiteLLM reads it there and only there
    sdk = importlib.import_module("litellm")
    for name, value in _QUIET.items():
        setattr(sdk, name, value)
    for name in _LOGGERS:
        # Its logs repeat what is asked and answered.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return sdk


async def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Stop what is still under way, and its connections."""
    tasks = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=STOP_S)
    closing = importlib.import_module("litellm.llms.custom_httpx.async_client_cleanup")
    await closing.close_litellm_async_clients()
    await loop.shutdown_asyncgens()
