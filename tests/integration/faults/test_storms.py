"""A provider that fails all the time is soon left alone, whoever asks and in whatever dialect."""

import pytest

from trunkline_testkit.fault_cells import HEALTHY, LANES, STREAM, cells
from trunkline_testkit.fault_scenarios import STORM
from trunkline_testkit.hearing import heard
from trunkline_testkit.provider_words import TEXT

pytestmark = pytest.mark.asyncio(loop_scope="package")
FAILURES = 5
"""In a row, and a breaker opens: `breaker.failures`, as it is by default."""
CELLS = [cell for lane in LANES.values() for cell in cells(STORM, lane) if cell.is_backed]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
async def test_its_breaker_opens_and_nobody_waits_for_it_any_more(suite, cell):
    stream, attempts = cell.mode == STREAM, []
    for _ in range(FAILURES + 3):
        async with suite.ask(cell.lane.surface, cell.name, stream=stream) as reply:
            said = heard(cell.lane.surface, await reply.read(), stream=stream)
            assert (said.text, said.is_complete) == (TEXT, True)
            assert reply.headers["x-trunkline-provider"] == HEALTHY
            attempts.append(reply.headers["x-trunkline-attempts"])
    assert suite.provider.times_asked(cell.name) == FAILURES
    assert attempts == ["2"] * FAILURES + ["1"] * 3
