from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.ledger.postgres import INSERT, column_type, columns
from trunkline_gateway.ledger.schema import MIGRATIONS, Month

MOMENTS = st.integers(946_684_800, 7_258_118_400).map(lambda second: datetime.fromtimestamp(second, UTC))


@given(MOMENTS)
def test_every_moment_is_in_its_month_and_months_follow_without_gaps(moment):
    month = Month.of(moment)
    assert month.begins <= moment < month.ends
    assert month.next().begins == month.ends
    assert Month.named(month.name).begins == month.begins


def test_months_are_utc():
    zone = timezone(timedelta(hours=2))
    assert Month.of(datetime(2026, 12, 1, 1, tzinfo=zone)).name == "usage_attempts_2026_11"


@pytest.mark.parametrize("name", ["usage_attempts", "usage_attempts_old", "usage_attempts_2026_13", "other_2026_01"])
def test_other_tables_are_no_months(name):
    assert Month.named(name) is None


def test_the_row_and_the_table_have_the_same_columns_of_the_same_types():
    text = "\n".join(step.sql for step in MIGRATIONS).replace("ADD COLUMN ", "")
    lines = [line for line in text.splitlines() if line.startswith("    ") and "KEY" not in line]
    declared = {name: kind.rstrip(",") for name, kind, *_ in map(str.split, lines)}
    assert list(declared) == list(columns())
    assert declared == {name: column_type(name) for name in columns()}
    assert all(name in INSERT for name in declared)
