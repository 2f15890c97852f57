from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.ledger.questions import (
    BUCKETS,
    DIMENSIONS,
    PAGE_LINES_MAX,
    Asked,
    Query,
    checked,
    moment,
    page_after,
    place_after,
    query_of,
    zone_of,
)
from trunkline_kit.errors import InvalidRequest

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def query(**more):
    return Query(**{"since": NOW - timedelta(days=1), "until": NOW, **more})


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


def test_a_day_begins_in_the_zone_that_was_named():
    assert moment("2026-11-01", NOW, BERLIN) == datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert moment("2026-11-01T00:00Z", NOW, BERLIN) == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "d", "soon", "7x", "-3d", "²d", "99999999999d", "999999w", "0001-01-01", "9999-12-31"]
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(InvalidRequest) as caught:
        moment(text, NOW, UTC, "until")
    assert caught.value.param == "until"


def test_words_become_a_query():
    asked = Asked(
        by=("team, model", "team"),
        bucket="day",
        since="1d",
        time_zone="Europe/Berlin",
        where=(("team", "search"), ("team", "ads"), ("team", "ads"), ("model", "m")),
        limit=5,
    )
    found = query_of(asked, NOW)
    assert found == query(
        by=("team", "model"),
        bucket="day",
        time_zone="Europe/Berlin",
        where={"team": ("search", "ads"), "model": ("m",)},
        limit=5,
    )


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"by": ("teem",)}, "by"),
        ({"by": ("team; DROP TABLE x",)}, "by"),
        ({"bucket": "minute"}, "bucket"),
        ({"since": "soon"}, "since"),
        ({"until": "soon"}, "until"),
        ({"since": "1d", "until": "2d"}, "since"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"time_zone": ""}, "time_zone"),
        ({"where": (("teem", "x"),)}, "teem"),
        ({"where": (("team", "x\0"),)}, "team"),
        ({"where": (("team", "\ud800"),)}, "team"),
        ({"where": (("team", "x" * 257),)}, "team"),
        ({"where": tuple(("team", str(n)) for n in range(201))}, "team"),
        ({"limit": 0}, "limit"),
        ({"limit": PAGE_LINES_MAX + 1}, "limit"),
        ({"after": "?"}, "after"),
        ({"after": "bm8="}, "after"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(asked, param):
    with pytest.raises(InvalidRequest) as caught:
        query_of(Asked(**asked), NOW)
    assert caught.value.param == param


@given(
    st.lists(st.sampled_from(sorted(DIMENSIONS)), unique=True, max_size=4),
    st.none() | st.sampled_from(BUCKETS),
    st.integers(0, 4_000_000_000).map(lambda second: datetime.fromtimestamp(second, UTC)),
    st.data(),
)
def test_a_page_begins_where_the_one_before_ended(by, bucket, begins, data):
    texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
    values = {name: data.draw(texts) for name in by}
    asked = query(by=tuple(by), bucket=bucket)
    after = page_after(asked, begins if bucket else None, values)
    place = place_after(Query(since=asked.since, until=asked.until, by=asked.by, bucket=bucket, after=after))
    assert place == ([begins] if bucket else []) + [values[name] for name in by]


@given(st.text(max_size=40))
def test_no_page_breaks_anything(after):
    with suppress(InvalidRequest):
        assert len(place_after(query(by=("team",), after=after))) == bool(after)


def test_a_page_of_another_question_is_refused():
    after = page_after(query(by=("team",)), None, {"team": "x"})
    for other in ({"by": ("team", "model")}, {"by": ("team",), "bucket": "day"}):
        with pytest.raises(InvalidRequest, match="after"):
            checked(query(after=after, **other))


def test_zones():
    assert zone_of("UTC") is UTC
    assert zone_of("Europe/Berlin") == BERLIN
