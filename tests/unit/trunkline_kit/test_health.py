"""What /readyz says, and how often it asks. The gRPC half is in the contract suite."""

import asyncio

import msgspec
import pytest

from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.health import Readiness


class Checked:
    """A part whose state a test sets."""

    def __init__(self, error=None, detail=None):
        self.error, self.detail, self.asked = error, detail, 0

    async def __call__(self):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.detail


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def readiness(clock):
    return Readiness(clock, timeout_s=0.05)


async def test_nothing_to_check_is_ready(readiness):
    assert (await readiness.report()).ready


async def test_only_what_is_required_decides(readiness):
    readiness.add("worker", Checked(detail="2 slots free"))
    readiness.add("database", Checked(StoreUnavailable("Postgres does not answer")), required=False)
    report = await readiness.report()
    assert report.ready
    assert msgspec.to_builtins(report.parts) == (
        {"name": "worker", "up": True, "required": True, "detail": "2 slots free"},
        {"name": "database", "up": False, "required": False, "detail": "Postgres does not answer"},
    )


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), ConnectionRefusedError("gone")])
async def test_a_required_part_that_is_down(readiness, error):
    readiness.add("worker", Checked(error))
    report = await readiness.report()
    assert not report.ready
    assert report.parts[0].detail == "gone"


async def test_a_check_that_does_not_answer_is_down(readiness):
    readiness.add("worker", asyncio.Event().wait)
    report = await readiness.report()
    assert not report.ready
    assert report.parts[0].detail == "no answer within 0.05 s"


async def test_answers_are_kept_for_a_while(readiness, clock):
    part = Checked()
    readiness.add("worker", part, cache_s=2.0)
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(readiness.report())
    assert part.asked == 1
    clock.advance(1.9)
    part.error = StoreUnavailable("gone")
    assert (await readiness.report()).ready
    clock.advance(0.1)
    assert not (await readiness.report()).ready
    assert part.asked == 2


async def test_a_fault_in_a_check_is_not_hidden(readiness):
    readiness.add("worker", Checked(KeyError("typo")))
    with pytest.raises(ExceptionGroup):
        await readiness.report()


def test_a_name_is_taken_once(readiness):
    readiness.add("worker", Checked())
    with pytest.raises(ValueError, match="exists already"):
        readiness.add("worker", Checked())
