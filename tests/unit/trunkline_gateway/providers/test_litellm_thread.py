"""A foreign loop in another thread."""

import asyncio
import sys
import threading
from contextlib import AsyncExitStack

import pytest

from trunkline_gateway.providers.litellm_thread import SdkThread, SharedSdk
from trunkline_kit.errors import ConfigError


@pytest.fixture
def elsewhere():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield SdkThread(None, loop)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def test_work_runs_there_and_ends_here(elsewhere):
    async def name():
        return threading.current_thread()

    assert await elsewhere.run(name()) is not threading.current_thread()


async def test_what_is_cancelled_here_is_cancelled_there(elsewhere):
    began, ended = threading.Event(), threading.Event()

    async def wait():
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.ensure_future(elsewhere.run(wait()))
    await asyncio.to_thread(began.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 5)


async def test_nobody_hears_of_what_was_left(elsewhere):
    done = threading.Event()

    async def fail():
        done.set()
        raise ValueError("unheard")

    elsewhere.leave(fail())
    assert await asyncio.to_thread(done.wait, 5)


async def test_without_litellm_the_configuration_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setitem(sys.modules, "litellm", None)
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError, match=r"providers\.long: .*pip install trunkline\[litellm\]"):
            await SharedSdk(stack).opened("long")
