"""The shared state of a local call: its windows, its one end, its deadlines."""

import asyncio

from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.rpc.exchange import WINDOW_BYTES, WINDOW_MESSAGES, Deadlines, Exchange, Pipe, Signal


@given(st.lists(st.binary(max_size=WINDOW_BYTES), max_size=2 * WINDOW_MESSAGES))
def test_a_pipe_keeps_order_and_never_exceeds_its_window_by_more_than_one_message(messages):
    pipe, sent, received = Pipe(), [], []
    for message in messages:
        while pipe.full:
            received.append(pipe.pop())
        pipe.push(message)
        sent.append(message)
        waiting = sent[len(received) :]
        assert len(waiting) <= WINDOW_MESSAGES
        assert sum(map(len, waiting[:-1])) < WINDOW_BYTES
    while pipe:
        received.append(pipe.pop())
    assert received == sent
    assert pipe.half_empty


async def test_a_signal_wakes_everyone_and_forgets_who_gave_up():
    signal = Signal()
    abandoned = [signal.waiter() for _ in range(20)]
    for waiter in abandoned:
        waiter.cancel()
    waiting = [signal.waiter() for _ in range(3)]
    assert len(signal._waiters) < len(abandoned)
    signal.wake()
    assert all(waiter.done() and not waiter.cancelled() for waiter in waiting)


def exchange(timeout_s=None):
    return Exchange(asyncio.get_running_loop(), (), timeout_s, 10)


async def test_the_first_end_decides():
    call = exchange()
    call.finish(StatusCode.OK, "first")
    call.cut(StatusCode.CANCELLED, "second")
    call.expire()
    assert (call.code, call.details) == (StatusCode.OK, "first")


async def test_a_long_message_ends_the_call():
    call = exchange()
    call.check_size(bytes(10))
    assert call.code is None
    call.check_size(bytes(11))
    assert call.code is StatusCode.RESOURCE_EXHAUSTED


async def test_each_call_ends_at_its_own_deadline():
    deadlines, order, done = Deadlines(asyncio.get_running_loop()), [], asyncio.Event()
    for timeout_s in (0.03, 0.01, None, 0.02):
        call = exchange(timeout_s)
        deadlines.add(call)
        call.on_done(lambda timeout_s=timeout_s: order.append(timeout_s))
    assert len(deadlines) == 4
    call.on_done(lambda: None)
    deadlines.add(last := exchange(0.04))
    last.on_done(done.set)
    await done.wait()
    assert order == [0.01, 0.02, 0.03]
    assert len(deadlines) == 1
    deadlines.close()


async def test_an_ended_call_is_not_watched():
    deadlines = Deadlines(asyncio.get_running_loop())
    call = exchange(60.0)
    deadlines.add(call)
    call.finish(StatusCode.OK)
    assert len(deadlines) == 0
    deadlines.close()
