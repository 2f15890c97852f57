"""`trunkline usage reconcile`: the ledger against what a provider says it is owed."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import msgspec
from msgspec import Struct
from rich.console import Console

from trunkline_gateway.ledger.invoices import Invoice, layout_of, read_invoice
from trunkline_gateway.ledger.reconcile import Reconciliation, Tolerance, grid_of, reconcile, sheet_of
from trunkline_gateway.ledger.sheets import grid_csv, markdown
from trunkline_gateway.prices.table import load_table
from trunkline_kit.config import load
from trunkline_kit.errors import InvalidRequest
from trunkline_kit.printable import printable_json
from trunkline_policy.money import nusd_of
from trunkline_standalone.edge import FAILED
from trunkline_standalone.ledger_database import opened_ledger
from trunkline_standalone.sheet_view import say_sheet
from trunkline_standalone.tables import say_file

FORMATS = ("text", "markdown", "csv", "json")


class ReconcileOptions(Struct, frozen=True, kw_only=True):
    """As given on the command line."""

    invoice: Path
    provider: str
    columns: str | None = None
    same: tuple[str, ...] = ()
    """`Name on the invoice=name here`, any number of them."""
    tolerance: str = "1%"
    tolerance_usd: float = 0.01
    form: str = ""
    """Empty: text on a terminal, Markdown elsewhere."""
    config: Path | None = None
    home: Path


def run_reconcile(options: ReconcileOptions, environment: Mapping[str, str]) -> None:
    """Print what differs and end with exit code 1 if anything does. Raises InvalidRequest, Unavailable."""
    if options.form not in {"", *FORMATS}:
        raise InvalidRequest(f"--format must be one of {', '.join(FORMATS)}, not {options.form}")
    tolerance = Tolerance(share=share_of(options.tolerance), cost_nusd=nusd_of(options.tolerance_usd))
    invoice = invoice_of(options)
    table = load(options.config).settings.prices.table if options.config else None
    version = load_table(table).version

    async def work(pool: asyncpg.Pool) -> Reconciliation:
        return await reconcile(pool, invoice, options.provider, tolerance, version)

    found = asyncio.run(opened_ledger(options.config, options.home, environment, work))
    console = Console()
    if options.form == "text" or (not options.form and console.is_terminal):
        say_sheet(sheet_of(found, in_blocks=True), console)
    else:
        say_file(told(found, options.form))
    if not found.agrees:
        sys.exit(FAILED)


def invoice_of(options: ReconcileOptions) -> Invoice:
    """Read it. Raises InvalidRequest."""
    layout = layout_of(options.columns) if options.columns is not None else None
    same = {}
    for text in options.same:
        theirs, equals, ours = text.partition("=")
        if not equals or not theirs or not ours:
            raise InvalidRequest(f"--same takes 'NAME ON THE INVOICE=NAME HERE', not {text}")
        same[theirs.strip()] = ours.strip()
    try:
        with options.invoice.open(encoding="utf-8", newline="") as file:
            return read_invoice(file, options.invoice.name, layout, same)
    except OSError as error:
        raise InvalidRequest(f"cannot read the invoice {options.invoice}: {error.strerror or error}") from error


def share_of(text: str) -> float:
    """`1%` or `0.01`. Raises InvalidRequest."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as error:
        raise InvalidRequest(f"--tolerance takes a share such as 1%, not {text}") from error
    if not 0 <= share <= 1:
        raise InvalidRequest(f"--tolerance takes a share from 0% to 100%, not {text}")
    return share


def told(found: Reconciliation, form: str) -> str:
    """The text of a format; of none, Markdown. Files have all pairs, people only those that differ."""
    if form == "csv":
        return grid_csv(grid_of(found, found.pairs))
    if form == "json":
        whole = {"provider": found.provider, "agrees": found.agrees, "pairs": found.pairs}
        return printable_json(msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()) + "\n"
    return markdown(sheet_of(found))
