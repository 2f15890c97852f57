"""The page for users says what the scenarios say, and they are as many as they should be."""

from pathlib import Path

from trunkline_testkit.fault_cells import LANES, cells
from trunkline_testkit.fault_page import GROUPS, tables
from trunkline_testkit.fault_scenarios import SCENARIOS

PAGE = Path(__file__).resolve().parents[3] / "services" / "gateway" / "docs" / "faults.md"
SCENARIOS_MIN = 24


def test_the_page_has_the_tables():
    assert tables() in PAGE.read_text(), "put what trunkline_testkit.fault_page.tables() returns into docs/faults.md"


def test_every_scenario_is_on_the_page_and_has_a_name_of_its_own():
    shown = [scenario.name for scenarios in GROUPS.values() for scenario in scenarios]
    assert sorted(shown) == sorted(SCENARIOS)


def test_there_are_enough_on_every_surface():
    for lane in LANES.values():
        played = [scenario.name for scenario in SCENARIOS.values() if list(cells(scenario, lane))]
        assert len(played) >= SCENARIOS_MIN, lane.name
