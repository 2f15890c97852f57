"""Stopping: signals, draining, and work beside a block."""

import asyncio
import contextlib
import gc
import os
import signal

import pytest

from trunkline_kit import lifecycle
from trunkline_kit.lifecycle import Drain, background, run, stop_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_is_a_request(number):
    with stop_signals() as stop:
        assert not stop.is_set
        os.kill(os.getpid(), number)
        await stop.wait()
        assert stop.name == number.name


async def test_the_second_signal_is_an_order():
    async def serve():
        with stop_signals() as stop:
            stop.receive(signal.SIGTERM)
            await stop.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        async with asyncio.TaskGroup() as group:
            await group.create_task(serve())


async def test_signals_are_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals():
        pass
    assert signal.getsignal(signal.SIGTERM) is before


async def work(drain, finish, log):
    async with drain.track():
        try:
            await finish.wait()
            log.append("finished")
        except asyncio.CancelledError:
            log.append("cancelled")
            raise


async def until(condition):
    while not condition():  # noqa: ASYNC110 - looks once a turn of the loop, waits for no time
        await asyncio.sleep(0)


async def test_drain_waits_for_what_is_under_way():
    drain, finish, log = Drain(), asyncio.Event(), []
    async with asyncio.TaskGroup() as group:
        group.create_task(work(drain, finish, log))
        await until(lambda: drain.in_flight == 1)
        finishing = group.create_task(drain.finish(60))
        await until(lambda: drain.draining)
        assert log == []
        finish.set()
        assert await finishing == 0
    assert (log, drain.in_flight, drain.cancelling) == (["finished"], 0, False)


async def test_drain_cancels_what_outlives_the_grace():
    drain, log = Drain(), []
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(work(drain, asyncio.Event(), log))
        await until(lambda: drain.in_flight == 3)
        assert await drain.finish(0.0) == 3
        assert log == ["cancelled"] * 3
    assert drain.cancelling


async def test_drain_counts_nested_pieces_of_one_task():
    drain = Drain()
    async with drain.track(), drain.track():
        assert drain.in_flight == 2
    assert drain.in_flight == 0
    assert await drain.finish(0.0) == 0


async def test_background_work_ends_with_the_block():
    started, ended = asyncio.Event(), asyncio.Event()

    async def loop():
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with background(loop()):
        await started.wait()
    assert ended.is_set()


async def test_background_work_that_fails_ends_the_block_with_its_own_error():
    async def fail():
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        async with background(fail()):
            await asyncio.Event().wait()


async def test_the_blocks_own_error_comes_out_as_it_is():
    with pytest.raises(KeyError):
        async with background(asyncio.Event().wait()):
            raise KeyError("mine")


def test_run_returns_what_main_returns():
    async def main():
        return type(asyncio.get_running_loop()).__module__

    assert "uvloop" in run(main)


@pytest.mark.parametrize("fails", [False, True])
async def test_work_that_loses_a_cancellation_is_cancelled_again(monkeypatch, fails):
    monkeypatch.setattr(lifecycle, "_CANCEL_AGAIN_S", 0.01)
    lost = []

    async def forgetful():
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                lost.append(error)
                if len(lost) == 2:
                    raise

    with pytest.raises(RuntimeError) if fails else contextlib.nullcontext():
        async with background(forgetful()):
            await asyncio.sleep(0)
            if fails:
                raise RuntimeError("the block went wrong")
    assert len(lost) == 2


def test_what_is_there_at_the_start_is_not_gone_over_again():
    before, frozen = gc.get_threshold(), gc.get_freeze_count()

    async def main():
        return gc.get_threshold(), gc.get_freeze_count()

    threshold, count = run(main)
    assert threshold == lifecycle.COLLECT_AFTER
    assert count > frozen
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
