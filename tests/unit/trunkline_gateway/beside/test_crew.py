"""Work that belongs to no request ends with the gateway, and harms nobody when it fails."""

import asyncio
import logging

import pytest

from trunkline_gateway.beside.crew import Crew
from trunkline_kit.lifecycle import background


@pytest.fixture
async def crew():
    made = Crew("testing")
    async with background(made.working()):
        await asyncio.sleep(0)
        yield made


async def test_work_goes_on_beside(crew):
    done = asyncio.Event()

    async def work():
        done.set()

    task = crew.start(work())
    assert len(crew) == 1
    await task
    assert done.is_set()
    await asyncio.sleep(0)
    assert len(crew) == 0


async def test_what_fails_is_in_the_log_and_the_others_go_on(crew, caplog):
    async def fail():
        raise ValueError("oh")

    await crew.start(fail())
    assert crew.is_working
    with caplog.at_level(logging.ERROR):
        await crew.start(fail())
    assert "testing failed unforeseen" in caplog.text


async def test_the_end_cancels_what_is_left():
    crew, ended = Crew("testing"), asyncio.Event()

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with background(crew.working()):
        await asyncio.sleep(0)
        crew.start(work())
        await asyncio.sleep(0)
    assert ended.is_set()
    assert not crew.is_working


async def test_nothing_can_be_started_before_or_after():
    async def work():
        pass

    with pytest.raises(AssertionError):
        Crew("testing").start(work())
