from datetime import UTC, datetime, timedelta

import pytest

from trunkline_gateway.ledger.report import BUCKETS, DIMENSIONS, Query, checked, moment, sql_of
from trunkline_kit.errors import InvalidRequest

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", NOW - timedelta(days=7)),
        ("12h", NOW - timedelta(hours=12)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:00+02:00", datetime(2026, 11, 1, 8, tzinfo=UTC)),
    ],
)
def test_moments(text, expected):
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "d", "soon", "7x", "-3d"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(InvalidRequest):
        moment(text, NOW)


@pytest.mark.parametrize(("by", "bucket"), [(["teem"], None), (["team; DROP TABLE x"], None), ([], "minute")])
def test_only_known_names_get_into_the_query(by, bucket):
    with pytest.raises(InvalidRequest):
        checked(by, bucket)
    with pytest.raises(InvalidRequest):
        sql_of(Query(since=NOW, until=NOW, by=tuple(by), bucket=bucket))


@pytest.mark.parametrize("bucket", [None, *BUCKETS])
def test_groups_are_counted_with_the_bucket(bucket):
    sql = sql_of(Query(since=NOW, until=NOW, by=("team", "model", "team"), bucket=bucket))
    assert f"GROUP BY {'1, 2, 3' if bucket else '1, 2'}" in sql


def test_dimensions_are_columns_of_the_table():
    from trunkline_gateway.ledger.postgres import columns

    assert set(DIMENSIONS.values()) <= set(columns())
