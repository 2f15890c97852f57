"""A caller who leaves ends the request at the provider at once, wherever it is, on every surface."""

import asyncio

import pytest

from trunkline_testkit.fault_cells import LANES, STREAM, cells
from trunkline_testkit.fault_scenarios import LEFT

pytestmark = pytest.mark.asyncio(loop_scope="package")
SOON_S = 0.1
TRIES = 3
"""The best of them counts: machines are shared."""
CELLS = [cell for scenario in LEFT for lane in LANES.values() for cell in cells(scenario, lane) if not cell.is_backed]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
async def test_the_provider_is_let_go_within_100_ms(suite, cell):
    took_s = [await left(suite, cell, number) for number in range(1, TRIES + 1)]
    assert min(took_s) <= SOON_S
    rows = (await suite.rows({cell.name: TRIES}))[cell.name]
    assert [(row["outcome"], row["usage_source"]) for row in rows] == [("client_cancelled", "estimated")] * TRIES


async def left(suite, cell, number):
    """How long after its caller left a provider saw that it was let go."""
    suite.provider.left_s.pop(cell.name, None)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(read(suite, cell))
        await suite.provider.wait_until_asked(cell.name, number)
        if cell.mode == STREAM and cell.scenario.name == "leave-late":
            await suite.begun.wait()
        began_s = asyncio.get_running_loop().time()
        asking.cancel()
    async with asyncio.timeout(5):
        return await suite.provider.wait_until_left(cell.name) - began_s


async def read(suite, cell):
    suite.begun.clear()
    async with suite.ask(cell.lane.surface, cell.name, stream=cell.mode == STREAM) as reply:
        suite.begun.set()
        await reply.read()
