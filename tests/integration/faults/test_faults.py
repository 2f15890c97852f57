"""Each scenario on each surface: what the caller gets, how soon, what the headers tell, and what the ledger says."""

import asyncio
import re

import msgspec
import pytest

from trunkline_testkit.fault_cells import HEALTHY, INPUT_USD, LANES, OUTPUT_USD, STREAM, cells
from trunkline_testkit.fault_outcomes import Kind
from trunkline_testkit.fault_scenarios import SCENARIOS
from trunkline_testkit.hearing import heard, refused
from trunkline_testkit.provider_words import INPUT_TOKENS, OUTPUT_TOKENS, TEXT

pytestmark = pytest.mark.asyncio(loop_scope="package")
SLACK_S = 2.0
"""Beyond the clock that a scenario is about: machines are shared. All other clocks are ten times longer."""
NUSD = {"input": INPUT_USD * 1000, "output": OUTPUT_USD * 1000}
LANE_CELLS = [
    pytest.param(found, id=f"{scenario.name}-{lane.name}")
    for scenario in SCENARIOS.values()
    for lane in LANES.values()
    if (found := list(cells(scenario, lane)))
]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    took_s: float


@pytest.mark.parametrize("found", LANE_CELLS)
async def test_what_happens_is_what_the_tables_say(suite, found):
    seen = {}

    async def play(cell):
        seen[cell.name] = await asked(suite, cell)

    async with asyncio.TaskGroup() as group:
        for cell in found:
            group.create_task(play(cell))
    for cell in found:
        check_answer(cell, seen[cell.name])
        check_headers(cell, seen[cell.name])
    rows = await suite.rows({cell.name: cell.attempts for cell in found})
    for cell in found:
        check_rows(cell, rows[cell.name])


async def asked(suite, cell):
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with suite.ask(cell.lane.surface, cell.name, stream=cell.mode == STREAM) as reply:
        data = await reply.read()
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return Seen(status=reply.status, headers=headers, body=data, took_s=loop.time() - began_s)


def check_answer(cell, seen):
    surface, outcome = cell.lane.surface, cell.alone
    clocks = [seconds for _, seconds in cell.scenario.clocks]
    assert seen.took_s < max([*clocks, 0.0]) + SLACK_S, f"{cell.name} took {seen.took_s:.2f} s"
    if outcome.kind is Kind.REFUSED and not cell.is_rescued:
        said = refused(surface, seen.body)
        assert (seen.status, said.error) == (outcome.status, surface.error_of(outcome.status, outcome.code)), cell.name
        return
    assert seen.status == 200, f"{cell.name}: {seen.body!r}"
    said = heard(surface, seen.body, stream=cell.mode == STREAM)
    if outcome.kind is Kind.BROKEN and not cell.is_rescued:
        assert surface.ending not in seen.body, cell.name
        assert said.error == surface.error_of(504 if outcome.code == "timeout" else 502, outcome.code), cell.name
        assert said.text.startswith("one "), cell.name
        assert not said.is_complete, cell.name
        return
    assert (said.text, said.is_complete, said.error) == (TEXT, True, ""), f"{cell.name}: {seen.body!r}"


def check_headers(cell, seen):
    assert seen.headers["x-trunkline-attempts"] == str(cell.attempts), cell.name
    tried = seen.headers.get("x-trunkline-tried", "")
    # What was wrong with the request was no failure of the attempt.
    if cell.reasons in (["ok"], ["stream_broken"], ["upstream_refused"]) and cell.scenario.name != "filtered":
        assert not tried, cell.name
    else:
        assert [one.split(";")[1] for one in tried.split(", ")] == cell.reasons, f"{cell.name}: {tried}"
    provider = HEALTHY if cell.is_rescued else cell.name
    assert seen.headers["x-trunkline-provider"] == provider, cell.name
    if cell.alone.kind is Kind.REFUSED and not cell.is_rescued:
        assert re.fullmatch(cell.alone.retry_after, seen.headers.get("retry-after", "")), cell.name
        should_not = seen.headers.get("x-should-retry") == "false"
        # Also where we have tried often enough ourselves.
        assert should_not == (seen.status >= 500 or cell.attempts > 1), cell.name


def check_rows(cell, rows):
    outcomes = [reason if reason in ("ok", "stream_broken") else f"error:{reason}" for reason in cell.reasons]
    assert [row["outcome"] for row in rows] == outcomes, cell.name
    assert [row["attempt"] for row in rows] == list(range(1, len(rows) + 1)), cell.name
    assert {row["surface"] for row in rows} == {cell.lane.surface.name}, cell.name
    sources = [cell.alone.usage] * len(rows)
    if cell.is_rescued:
        sources[-1] = "reported"
    assert [row["usage_source"] for row in rows] == sources, cell.name
    for row in rows:
        check_cost(cell, row)


def check_cost(cell, row):
    read, said = row["uncached_input_tokens"], row["output_tokens"]
    assert row["cost_nusd"] == read * NUSD["input"] + said * NUSD["output"], cell.name
    match row["usage_source"]:
        case "none":
            assert row["cost_nusd"] == 0, cell.name
        case "estimated":
            assert read > 0, cell.name
        case "reported" if cell.scenario.name != "absurd-usage":
            assert (read, said) == (INPUT_TOKENS, OUTPUT_TOKENS), cell.name
