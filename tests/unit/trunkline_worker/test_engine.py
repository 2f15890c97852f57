"""The engine's thread and the loop's side of it, over the fake model."""

import asyncio
import threading
from contextlib import aclosing

import pytest
from msgspec import structs

from trunkline_kit.clock import ManualClock, SystemClock
from trunkline_kit.errors import (
    Conflict,
    ContextTooLong,
    DeadlineExceeded,
    Internal,
    InvalidRequest,
    Overloaded,
    TrunklineError,
    Unavailable,
    Unsupported,
)
from trunkline_worker.batching import BatchConfig, Batcher
from trunkline_worker.engine import open_engine
from trunkline_worker.generation import FinishReason, GenerationRequest, SamplingOptions
from trunkline_worker.runtimes.fake import EOS_ID, TURN_ID, ByteCodec, FakeDecoder


def ask(name: str, text: str = "hello", **options) -> GenerationRequest:
    ids = (*text.encode(), TURN_ID)
    return GenerationRequest(request_id=name, prompt_ids=ids, **{"sampling": SamplingOptions(temperature=0)} | options)


def endless(name: str) -> GenerationRequest:
    return ask(name, "x", ignore_eos=True)


class BrokenDecoder(FakeDecoder):
    def decode(self, ids, lengths, *, repeatable=True):
        raise RuntimeError("kernel failed")


def engine(runtime=None, *, max_waiting: int = 8, grace_s: float = 0.0, slots: int = 2, clock=None):
    clock = clock or SystemClock()
    runtime = runtime or FakeDecoder(slots, 100_000)
    batcher = Batcher(runtime, ByteCodec(), frozenset({EOS_ID}), BatchConfig(max_waiting=max_waiting), clock)
    return open_engine(batcher, grace_s, clock)


async def answer(running, request) -> str:
    return "".join([delta.text async for delta in running.generate(request)])


async def error_of(running, request) -> TrunklineError:
    with pytest.raises(TrunklineError) as caught:
        await answer(running, request)
    return caught.value


async def test_many_at_once_get_their_own_answers():
    async with engine() as running, asyncio.TaskGroup() as group:
        tasks = [group.create_task(answer(running, ask(str(n), f"text {n}"))) for n in range(10)]
    assert [task.result() for task in tasks] == [f"text {n}" for n in range(10)]


async def test_leaving_early_frees_the_slot():
    async with engine() as running:
        async with aclosing(running.generate(endless("a"))) as deltas:
            await anext(deltas)
            assert running.load.running == 1
        while running.load.running:
            await running.changed()
        assert await answer(running, ask("a")) == "hello"


async def test_abort_ends_with_a_reason():
    async with engine() as running:
        deltas = running.generate(endless("a"))
        await anext(deltas)
        assert running.abort("a")
        last = [delta async for delta in deltas][-1]
        assert last.finish is FinishReason.ABORTED
        assert last.timing is not None
        assert not running.abort("a")


async def test_the_queue_is_bounded():
    async with engine(max_waiting=1, slots=1) as running:
        first, second = running.generate(endless("1")), running.generate(endless("2"))
        await anext(first)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(anext(second))
            while running.load.waiting != 1:
                await running.changed()
            with pytest.raises(Overloaded, match="2 places") as refused:
                await answer(running, ask("3"))
            assert refused.value.retry_after_s is not None
            await first.aclose()
            assert (await waiting).token_ids
        await second.aclose()


async def test_bad_requests_are_refused_before_the_queue():
    async with engine(FakeDecoder(2, 16)) as running:
        for request, error in (
            (ask("a", "x" * 16), ContextTooLong),
            (ask("a", sampling=SamplingOptions(temperature=9)), InvalidRequest),
            (GenerationRequest(request_id="a", prompt_ids=()), InvalidRequest),
            (GenerationRequest(request_id="a", prompt_ids=(10**6,)), InvalidRequest),
            (ask("a", stop=("",)), InvalidRequest),
            (ask("a", top_logprobs=21), InvalidRequest),
            (ask("a", max_tokens=-1), InvalidRequest),
        ):
            with pytest.raises(error):
                await answer(running, request)
        assert running.load.running == running.load.waiting == 0


async def test_one_id_at_a_time():
    async with engine() as running, aclosing(running.generate(endless("a"))) as deltas:
        await anext(deltas)
        with pytest.raises(Conflict, match="'a' is running"):
            await answer(running, ask("a"))


async def test_death_is_told_to_everybody(caplog):
    async with engine(BrokenDecoder(2, 100)) as running:
        with pytest.raises(Internal, match="must be restarted"):
            await answer(running, ask("a"))
        assert running.failure is not None
        with pytest.raises(Internal, match="must be restarted"):
            await answer(running, ask("b"))
    assert "the engine has died" in caplog.text


async def test_an_engine_that_makes_no_step_is_given_up(caplog):
    gate = threading.Event()

    class HungDecoder(FakeDecoder):
        def decode(self, ids, lengths, *, repeatable=True):
            gate.wait(30)
            return super().decode(ids, lengths, repeatable=repeatable)

    clock = ManualClock()
    async with engine(HungDecoder(2, 100), clock=clock) as running, asyncio.TaskGroup() as group:
        running.check_progress(10)
        clock.advance(100)
        running.check_progress(10)
        assert running.failure is None, "idle is not dead"
        task = group.create_task(error_of(running, ask("a")))
        await running.changed()
        clock.advance(9)
        running.check_progress(10)
        assert running.failure is None, "busy is not dead"
        clock.advance(2)
        running.check_progress(10)
        assert "must be restarted" in str(await task)
        gate.set()
    assert "no step for 10 s" in caplog.text


async def test_deadlines_are_told():
    clock = ManualClock()
    async with engine(clock=clock, slots=1) as running:
        now_s = clock.monotonic_s()
        with pytest.raises(DeadlineExceeded, match=r"0\.0 s are left"):
            await answer(running, structs.replace(ask("a"), deadline_s=now_s - 1))
        deltas = running.generate(structs.replace(endless("b"), deadline_s=now_s + 5))
        await anext(deltas)
        async with asyncio.TaskGroup() as group:
            waits = group.create_task(error_of(running, structs.replace(ask("d"), deadline_s=now_s + 5)))
            while running.load.waiting != 1:
                await running.changed()
            clock.advance(6)
            assert "could not begin" in str(await waits)
        with pytest.raises(DeadlineExceeded, match="over before the answer"):
            async for _ in deltas:
                pass
        running._load = structs.replace(running.load, waiting_tokens=1000, prefill_tokens_per_s=100.0)
        with pytest.raises(DeadlineExceeded, match=r"5\.0 s are left, and 10\.0 s of prompts"):
            await answer(running, structs.replace(ask("c"), deadline_s=clock.monotonic_s() + 5))


async def test_every_answer_takes_a_place():
    async with engine(max_waiting=1, slots=2) as running:
        with pytest.raises(Overloaded, match="3 places"):
            await answer(running, ask("a", choices=4))
        assert await answer(running, ask("a", choices=3)) != ""
        assert running.load.waiting == 0


async def test_a_grammar_that_fails_is_told():
    class Failing:
        failed, done = True, False

        def few(self):
            return None

        def mask(self, spare):
            return None

        def accept(self, token_id):
            pass

        def guide(self):
            return self

    async with engine() as running:
        with pytest.raises(Unsupported, match="too complex after 1 tokens"):
            await answer(running, ask("a", grammar=Failing()))
        assert await answer(running, ask("a")) == "hello"


async def test_drain_refuses_new_work_and_waits_for_old():
    async with engine() as running, asyncio.TaskGroup() as group:
        task = group.create_task(answer(running, ask("a", "a longer text " * 20)))
        while not running.load.running:
            await running.changed()
        result = await running.drain(30)
        assert (result.finished, result.cancelled) == (1, 0)
        assert running.load.draining
        with pytest.raises(Unavailable, match="draining"):
            await answer(running, ask("b"))
    assert task.result() == "a longer text " * 20


async def test_drain_cancels_what_outlives_the_grace():
    async with engine() as running, asyncio.TaskGroup() as group:
        deltas = running.generate(endless("a"))
        await anext(deltas)

        async def rest():
            return [delta async for delta in deltas]

        task = group.create_task(rest())
        result = await running.drain(0)
        assert (result.finished, result.cancelled) == (0, 1)
        assert (await task)[-1].finish is FinishReason.ABORTED
