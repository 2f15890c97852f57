"""A limit that moves: it rings when it is due, not when it was due once, and earlier if it was moved there."""

import asyncio
import contextlib

import pytest

from trunkline_gateway.relay.alarm import alarm

SOON_S = 0.01


def now_s():
    return asyncio.get_running_loop().time()


@contextlib.contextmanager
def counted_timers(monkeypatch):
    """How many timers the loop is asked for."""
    loop, made = asyncio.get_running_loop(), []
    call_at = loop.call_at
    monkeypatch.setattr(
        loop, "call_at", lambda when, *rest, **more: (made.append(when), call_at(when, *rest, **more))[1]
    )
    yield made


async def test_it_rings():
    with pytest.raises(TimeoutError):
        async with alarm(now_s() + SOON_S):
            await asyncio.Event().wait()


async def test_a_time_that_is_over_rings_at_the_next_wait():
    with pytest.raises(TimeoutError):
        async with alarm(now_s() - 1):
            await asyncio.Event().wait()


async def test_moved_on_it_does_not_ring_where_it_was():
    began_s, event = now_s(), asyncio.Event()
    async with alarm(began_s + SOON_S) as limit:
        limit.move(began_s + 60)
        asyncio.get_running_loop().call_at(began_s + 3 * SOON_S, event.set)
        await event.wait()
    assert now_s() >= began_s + 2 * SOON_S


async def rings_after_a_move(first_s, then_s):
    """How long it took to ring."""
    began_s = now_s()
    async with alarm(began_s + first_s) as limit:
        limit.move(began_s + then_s)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return now_s() - began_s


@pytest.mark.parametrize("first_s", [SOON_S, 60.0])
async def test_moved_it_rings_where_it_is(first_s):
    """Later than it was, or earlier."""
    assert 2 * SOON_S <= await rings_after_a_move(first_s, 3 * SOON_S) < 30


async def test_what_comes_in_the_turn_in_which_it_rings_is_in_time():
    """The wait is over, and the limit moved, before the loop gets to telling the task."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with alarm(now_s() + SOON_S) as limit:
        due_s = now_s() + SOON_S / 2
        loop.call_at(due_s, event.set)
        await event.wait()
        limit._look()
        limit.move(now_s() + 60)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_a_cancellation_from_outside_stays_one():
    async def waits():
        async with alarm(now_s() + 60):
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()


async def test_other_errors_pass_and_nothing_rings_later():
    with pytest.raises(ZeroDivisionError):
        async with alarm(now_s() + SOON_S):
            raise ZeroDivisionError
    await asyncio.sleep(2 * SOON_S)


async def test_many_moves_make_one_timer(monkeypatch):
    async with alarm(now_s() + 60) as limit:
        with counted_timers(monkeypatch) as made:
            for step in range(100):
                limit.move(now_s() + 61 + step)
    assert made == []
