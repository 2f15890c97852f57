"""Calls that run together, by a model that counts its runs and waits to be let go."""

import asyncio
import threading

import numpy as np
import pytest

from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import DeadlineExceeded
from trunkline_worker.row_queue import RunConfig
from trunkline_worker.row_runs import open_runs
from trunkline_worker.texts import TokenRow


class Lengths:
    """Each row's number is its length; runs wait while the gate is shut."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.error: Exception | None = None

    def run(self, rows):
        self.begun.set()
        assert self.gate.wait(10)
        if self.error:
            raise self.error
        self.runs.append([len(row.ids) for row in rows])
        return np.array([[len(row.ids)] for row in rows], np.float32)


def rows(*lengths: int) -> list[TokenRow]:
    return [TokenRow(range(length)) for length in lengths]


async def too_late(runs, deadline_s: float) -> None:
    with pytest.raises(DeadlineExceeded, match="turn"):
        await runs.run(rows(6), deadline_s)


async def begun(model: Lengths) -> None:
    assert await asyncio.to_thread(model.begun.wait, 10)
    model.begun.clear()


async def test_rows_come_back_in_order():
    model = Lengths()
    async with open_runs(model, RunConfig(batch_texts=3), ManualClock()) as runs:
        made = await runs.run(rows(9, 2, 30, 2, 8, 9))
        assert made[:, 0].tolist() == [9, 2, 30, 2, 8, 9]
        assert runs.waiting == 0
    assert sorted(map(sorted, model.runs)) == [[2, 2], [8], [9, 9], [30]]


async def test_who_comes_during_a_run_runs_together():
    model = Lengths()
    async with open_runs(model, RunConfig(), ManualClock()) as runs, asyncio.TaskGroup() as group:
        model.gate.clear()
        first = group.create_task(runs.run(rows(5)))
        await begun(model)
        others = [group.create_task(runs.run(rows(5, 6))) for _ in range(4)]
        await asyncio.sleep(0)
        assert runs.waiting == 5
        model.gate.set()
        assert (await first).tolist() == [[5]]
        assert [(await one).tolist() for one in others] == [[[5], [6]]] * 4
    assert model.runs == [[5], [5] * 4 + [6] * 4]


async def test_callers_who_come_again_are_waited_for_and_one_alone_is_not():
    model = Lengths()
    async with open_runs(model, RunConfig(), ManualClock()) as runs:
        for _ in range(3):
            await runs.run(rows(4))
        assert model.runs == [[4]] * 3
        model.runs.clear()

        async def caller() -> None:
            for _ in range(5):
                await runs.run(rows(4))

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(caller())
        assert len(model.runs) <= 7
        assert sum(map(len, model.runs)) == 20
        assert (await runs.run(rows(7))).tolist() == [[7]]


async def test_who_leaves_takes_no_place():
    model = Lengths()
    async with open_runs(model, RunConfig(batch_texts=1), ManualClock()) as runs, asyncio.TaskGroup() as group:
        model.gate.clear()
        first = group.create_task(runs.run(rows(5)))
        await begun(model)
        leaving = group.create_task(runs.run(rows(6, 6, 6)))
        staying = group.create_task(runs.run(rows(7)))
        await asyncio.sleep(0)
        leaving.cancel()
        first.cancel()
        await asyncio.wait({leaving, first})
        model.gate.set()
        assert (await staying).tolist() == [[7]]
        assert runs.waiting == 0
    assert model.runs == [[5], [7]]


async def test_deadlines():
    clock, model = ManualClock(), Lengths()
    async with open_runs(model, RunConfig(), clock) as runs, asyncio.TaskGroup() as group:
        model.gate.clear()
        first = group.create_task(runs.run(rows(5), clock.monotonic_s() + 1))
        await begun(model)
        late = group.create_task(too_late(runs, clock.monotonic_s() + 1))
        await asyncio.sleep(0)
        clock.advance(2)
        model.gate.set()
        await late
        assert (await first).tolist() == [[5]]
    assert model.runs == [[5]]


async def test_a_failure_reaches_those_it_concerns_and_the_next_run_works():
    model = Lengths()
    async with open_runs(model, RunConfig(), ManualClock()) as runs:
        model.error = ValueError("no")
        with pytest.raises(ValueError, match="no"):
            await runs.run(rows(1, 2, 40))
        model.error = None
        assert (await runs.run(rows(3))).tolist() == [[3]]
