"""Ten thousand requests that come, go and are cancelled: no slot, place or byte is left behind."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from trunkline_kit.clock import ManualClock, SystemClock
from trunkline_worker.batching import BatchConfig, Batcher
from trunkline_worker.engine import open_engine
from trunkline_worker.generation import GenerationRequest, SamplingOptions
from trunkline_worker.runtimes.fake import EOS_ID, TURN_ID, ByteCodec, FakeDecoder

REQUESTS, WARM = 10_000, 2_000
GROWTH_MAX_BYTES = 8 * 1024 * 1024
pytestmark = pytest.mark.timeout(300)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def ask(chance: random.Random, number: int) -> GenerationRequest:
    shared = b"a beginning that many share " * chance.randint(0, 2)
    return GenerationRequest(
        request_id=str(number),
        prompt_ids=(*shared, *str(number).encode(), TURN_ID),
        sampling=SamplingOptions(temperature=chance.choice([0.0, 1.0]), presence_penalty=chance.choice([0.0, 0.5])),
        max_tokens=chance.randint(1, 4),
        choices=chance.choice([1, 1, 1, 2]),
        priority=chance.randint(-1, 1),
        cache_salt=chance.choice([b"", b"one", b"two"]),
    )


def test_nothing_is_left_behind():
    chance = random.Random(4)
    batch = Batcher(FakeDecoder(8, 128), ByteCodec(), frozenset({EOS_ID}), BatchConfig(chunk_tokens=48), ManualClock())
    ended: set[tuple[str, int]] = set()
    expected, warm_bytes = 0, 0
    for number in range(REQUESTS):
        request = ask(chance, number)
        expected += request.choices
        batch.add(request)
        if chance.random() < 0.3:
            gone = batch.cancel(str(number - chance.randint(0, 12)))
            ended |= {(delta.request_id, delta.index) for delta in gone}
        while batch.load().waiting > 6:
            ended |= {(delta.request_id, delta.index) for delta in batch.step() if delta.finish}
        if number == WARM:
            warm_bytes = resident_bytes()
    while batch.has_work:
        ended |= {(delta.request_id, delta.index) for delta in batch.step() if delta.finish}
    load = batch.load()
    assert (load.running, load.waiting, load.waiting_tokens, load.kv_usage) == (0, 0, 0, 0)
    assert len(ended) == expected
    assert resident_bytes() - warm_bytes < GROWTH_MAX_BYTES


async def test_callers_that_leave_free_everything():
    chance = random.Random(5)
    batcher = Batcher(
        FakeDecoder(4, 128), ByteCodec(), frozenset({EOS_ID}), BatchConfig(max_waiting=500), SystemClock()
    )
    async with open_engine(batcher, 0) as engine:

        async def call(number: int) -> None:
            deltas = engine.generate(ask(chance, number))
            patience = chance.randint(0, 6)
            async for _ in deltas:
                patience -= 1
                if patience <= 0:
                    break
            await deltas.aclose()

        async with asyncio.TaskGroup() as group:
            for number in range(300):
                group.create_task(call(number))
        while engine.load.running or engine.load.waiting:
            await engine.changed()
        assert await anext(engine.generate(ask(chance, 1000)))
    assert engine._streams == engine._tickets == engine._choices == {}
    assert engine._answers == 0
