import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.ledger.postgres import columns
from trunkline_gateway.ledger.questions import BUCKETS, DIMENSIONS, Query, page_after
from trunkline_gateway.ledger.report import COUNTS, NOTHING, Line, lines_sql, totals_sql
from trunkline_gateway.ledger.rows import AttemptRow
from trunkline_kit.errors import InvalidRequest

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NASTY = "'; DROP TABLE usage_attempts; --"


def query(**more):
    return Query(**{"since": NOW - timedelta(days=1), "until": NOW, **more})


@pytest.mark.parametrize(
    "wrong", [{"by": ("teem",)}, {"by": (NASTY,)}, {"bucket": NASTY}, {"where": {NASTY: ("x",)}}, {"time_zone": NASTY}]
)
def test_only_known_names_get_into_statements(wrong):
    with pytest.raises(InvalidRequest):
        lines_sql(query(**wrong))
    with pytest.raises(InvalidRequest):
        totals_sql(query(**wrong))


@pytest.mark.parametrize("bucket", [None, *BUCKETS])
def test_groups_are_counted_with_the_bucket(bucket):
    sql = lines_sql(query(by=("team", "model"), bucket=bucket)).text
    assert f"GROUP BY {'1, 2, 3' if bucket else '1, 2'} ORDER BY" in sql


def test_dimensions_are_columns_of_the_table():
    assert set(DIMENSIONS.values()) - {"tag"} <= set(columns())
    assert "tags" in columns()


def test_every_class_of_tokens_is_added_up():
    counted = {name for name in AttemptRow.__struct_fields__ if name.endswith("_tokens")}
    assert counted <= set(COUNTS)


VALUES = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30), max_size=3)


@given(
    st.lists(st.sampled_from(sorted(DIMENSIONS)), unique=True, max_size=4),
    st.none() | st.sampled_from(BUCKETS),
    st.dictionaries(st.sampled_from(sorted(DIMENSIONS)), VALUES.map(tuple), max_size=4),
    st.booleans(),
)
def test_values_are_parameters_and_every_parameter_is_there(by, bucket, where, has_page):
    asked = query(by=tuple(by), bucket=bucket, where=where)
    after = page_after(asked, NOW if bucket else None, dict.fromkeys(by, "v")) if has_page and (by or bucket) else ""
    asked = query(by=tuple(by), bucket=bucket, where=where, after=after)
    for sql in (lines_sql(asked), totals_sql(asked)):
        numbers = {int(number) for number in re.findall(r"\$(\d+)", sql.text)}
        assert numbers == set(range(1, len(sql.parameters) + 1))
        shape = [list(values) for values in where.values()]
        assert all(values in sql.parameters for values in shape)


def test_values_never_get_into_the_text():
    asked = query(by=("team",), where={"team": (NASTY,), "tag": (NASTY,)})
    assert NASTY not in lines_sql(asked).text + totals_sql(asked).text


def test_totals_do_not_depend_on_how_it_is_split_or_paged():
    plain = totals_sql(query(where={"team": ("search",)}))
    split = query(by=("tag",), bucket="day", where={"team": ("search",)}, limit=5)
    assert totals_sql(split) == plain


@pytest.mark.parametrize(
    ("asked", "sorts"),
    [({"by": ("team", "tag")}, False), ({"by": ("team", "model")}, True), ({"where": {"provider": ("up",)}}, True)],
)
def test_requests_are_told_apart_only_where_their_attempts_may_be(asked, sorts):
    assert ("DISTINCT request_id" in lines_sql(query(**asked)).text) is sorts


def test_a_page_asks_for_one_line_more_than_it_shows():
    assert lines_sql(query(by=("team",), limit=7)).parameters[-1] == 8


def test_what_was_read_and_all_of_it():
    line = Line(
        **{
            **{name: getattr(NOTHING, name) for name in Line.__struct_fields__},
            "uncached_input_tokens": 1,
            "cache_read_tokens": 2,
            "cache_write_tokens": 4,
            "output_tokens": 8,
            "reasoning_tokens": 8,
            "audio_input_tokens": 1,
            "cost_nusd": 1_500_000_000,
        }
    )
    assert (line.input_tokens, line.tokens, line.cost_usd) == (7, 15, "1.5")
