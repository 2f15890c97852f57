"""The ledger against a provider's invoice: by day and model, what differs, and what is likely behind it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

import asyncpg
import msgspec

from trunkline_gateway.ledger.invoices import Charge, Invoice, Place, canonical
from trunkline_gateway.ledger.questions import Query
from trunkline_gateway.ledger.report import Line, report
from trunkline_gateway.ledger.sheets import Cell, Grid, Sheet, Usd
from trunkline_gateway.ledger.statement import added
from trunkline_kit.errors import InvalidRequest

_DAY = timedelta(days=1)
_PARTS_PER_ONE = 10_000
SHOWN_MAX = 200
"""Rows for people; files have all."""


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """How much may differ: the larger of the two."""

    share: float = 0.01
    cost_nusd: int = 10_000_000

    def allows(self, ours: int, theirs: int, floor: int = 0) -> bool:
        """Whether two sums agree."""
        most = max(abs(ours), abs(theirs)) * round(self.share * _PARTS_PER_ONE) // _PARTS_PER_ONE
        return abs(ours - theirs) <= max(most, floor)


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Which sums an invoice has at all."""

    tokens: bool
    amounts: bool
    tolerance: Tolerance

    def agree(self, ours: Line, theirs: Charge) -> tuple[bool, bool]:
        """Tokens, money."""
        limits = self.tolerance
        tokens = not self.tokens or (
            limits.allows(ours.input_tokens, theirs.input_tokens)
            and limits.allows(ours.output_tokens, theirs.output_tokens)
        )
        money = not self.amounts or limits.allows(ours.cost_nusd, theirs.cost_nusd, limits.cost_nusd)
        return tokens, money


class Ours(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger has of a place."""

    line: Line
    prices: tuple[str, ...] = ()
    """Versions of the prices that were applied."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A day and a model on both sides."""

    day: date
    model: str
    """Empty where the invoice knows no models."""
    ours: Ours
    theirs: Charge
    agrees: bool
    reasons: tuple[str, ...] = ()
    """What is likely behind a difference."""


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """All pairs in order of day and model."""

    provider: str
    invoice: Invoice
    compared: Compared
    pairs: tuple[Pair, ...]

    @property
    def agrees(self) -> bool:
        return all(pair.agrees for pair in self.pairs)


async def reconcile(
    pool: asyncpg.Pool, invoice: Invoice, provider: str, tolerance: Tolerance, table_version: str
) -> Reconciliation:
    """Raises InvalidRequest for an invoice of nothing, StoreUnavailable."""
    if invoice.days is None:
        raise InvalidRequest("the invoice has no row with a number: nothing can be compared")
    first, last = invoice.days
    query = Query(
        since=datetime.combine(first, time(), UTC),
        until=datetime.combine(last, time(), UTC) + _DAY,
        by=("provider_model", "price"),
        bucket="day",
        where={"provider": (provider,)},
    )
    found = await report(pool, query)
    if found.next:
        raise InvalidRequest("the ledger has too many models and prices in this time; give an invoice of a shorter one")
    return compared(invoice, provider, ours_of(found.lines, has_models=invoice.has_models), tolerance, table_version)


def ours_of(lines: Iterable[Line], *, has_models: bool) -> dict[Place, Ours]:
    """The ledger's lines by day and model, spelled as on the invoice."""
    grouped: dict[Place, list[Line]] = {}
    for line in lines:
        if line.begins is not None and line.attempts:
            model = canonical(line.by["provider_model"]) if has_models else ""
            grouped.setdefault((line.begins.astimezone(UTC).date(), model), []).append(line)
    return {
        place: Ours(line=added(found), prices=tuple(sorted({line.by["price"] for line in found} - {""})))
        for place, found in grouped.items()
    }


def compared(
    invoice: Invoice, provider: str, ours: Mapping[Place, Ours], tolerance: Tolerance, table_version: str
) -> Reconciliation:
    """Every place that either side has."""
    checks = Compared(tokens=invoice.has_tokens, amounts=invoice.has_amounts, tolerance=tolerance)
    even = _even_over_days(invoice.charges, ours, checks)
    pairs = []
    for day, model in sorted(invoice.charges.keys() | ours.keys()):
        mine, theirs = ours.get((day, model)), invoice.charges.get((day, model))
        tokens, money = checks.agree(mine.line if mine else added([]), theirs or Charge())
        reasons = []
        if not (tokens and money):
            reasons = _reasons(mine, theirs, table_version, tokens=tokens and checks.tokens)
            reasons += [_MIDNIGHT] if model in even else []
        pairs.append(
            Pair(
                day=day,
                model=model,
                ours=mine or Ours(line=added([])),
                theirs=theirs or Charge(),
                agrees=tokens and money,
                reasons=tuple(reasons),
            )
        )
    return Reconciliation(provider=provider, invoice=invoice, compared=checks, pairs=tuple(pairs))


_MIDNIGHT = "over all days this model agrees: an attempt is counted on the day it began, an invoice may count otherwise"


def _even_over_days(charges: Mapping[Place, Charge], ours: Mapping[Place, Ours], checks: Compared) -> set[str]:
    """Models that agree when all days are taken together, though there are several."""
    if len({day for day, _ in (*charges, *ours)}) < 2:
        return set()
    lines: dict[str, list[Line]] = {model: [] for _, model in (*charges, *ours)}
    billed: dict[str, list[Charge]] = {model: [] for model in lines}
    for (_, model), mine in ours.items():
        lines[model].append(mine.line)
    for (_, model), charge in charges.items():
        billed[model].append(charge)
    return {model for model, found in lines.items() if all(checks.agree(added(found), _sum(billed[model])))}


def _reasons(ours: Ours | None, theirs: Charge | None, table_version: str, *, tokens: bool) -> list[str]:
    if ours is None:
        return ["not in the ledger: used past this gateway, or there under another provider or name (--same)"]
    if theirs is None:
        return ["not on the invoice: another account, another name (--same), or not billed yet"]
    line, found = ours.line, []
    counted = (
        (line.estimated_attempts, "are estimated: the provider did not say what they used"),
        (line.cut_attempts, "were cut off: a provider may charge for what it went on to make"),
        (line.failed_attempts, "failed and cost nothing here: a provider may charge for what it had begun"),
        (line.unpriced_attempts, "have no price here, so no cost"),
    )
    found += [f"{count} of {line.attempts} attempts {why}" for count, why in counted if count]
    if tokens:
        found.append(f"tokens agree, money does not: priced by {', '.join(ours.prices) or 'nothing'}")
    if len(ours.prices) > 1:
        found.append(f"{len(ours.prices)} prices were in force on this day")
    old = {one.partition("/")[0] for one in ours.prices if one.startswith("genai-prices-")} - {table_version}
    if old:
        found.append(
            f"priced by {', '.join(sorted(old))}, and the table is {table_version} now: see `trunkline prices diff`"
        )
    return found or ["other uses of the account that do not pass this gateway"]


def sheet_of(found: Reconciliation, *, in_blocks: bool = False) -> Sheet:
    """For people: what differs first. `in_blocks`: a small table for each pair, where one of them all is too wide."""
    differ = [pair for pair in found.pairs if not pair.agrees]
    total_ours = added([pair.ours.line for pair in found.pairs])
    total_theirs = _sum(pair.theirs for pair in found.pairs)
    facts: list[tuple[str, Cell]] = [
        ("Invoice", f"{found.invoice.rows} rows, {found.invoice.layout}"),
        ("Days and models", len(found.pairs)),
        ("That differ", len(differ)),
    ]
    if found.compared.tokens:
        facts += [
            ("Tokens on the invoice", total_theirs.input_tokens + total_theirs.output_tokens),
            ("Tokens in the ledger", total_ours.tokens),
        ]
    if found.compared.amounts:
        facts += [
            ("Cost on the invoice", Usd(total_theirs.cost_nusd)),
            ("Cost in the ledger", Usd(total_ours.cost_nusd)),
        ]
    notes = [] if found.compared.amounts else ["The invoice has no amounts: only tokens were compared."]
    notes += [] if found.compared.tokens else ["The invoice has no tokens: only amounts were compared."]
    if not any(pair.ours.line.attempts for pair in found.pairs):
        notes.append(f"The ledger has nothing of {found.provider} then: is that its name under `providers`?")
    if len(differ) > SHOWN_MAX:
        notes.append(f"{len(differ) - SHOWN_MAX} more differ; --format csv has all.")
    shown = differ[:SHOWN_MAX]
    grids = tuple(_block(pair, found.compared) for pair in shown) if in_blocks else (grid_of(found, shown),)
    return Sheet(
        title=f"Invoice of {found.provider} and the ledger",
        facts=tuple(facts),
        grids=grids if differ else (),
        notes=tuple(notes),
    )


def grid_of(found: Reconciliation, pairs: Sequence[Pair]) -> Grid:
    """One row for each pair; only of what the invoice has."""
    header = ["day", "model"]
    for name, is_there in (
        ("input", found.compared.tokens),
        ("output", found.compared.tokens),
        ("USD", found.compared.amounts),
    ):
        header += [f"{name} invoice", f"{name} ledger", f"{name} difference"] if is_there else []
    return Grid(
        title="What differs",
        header=(*header, "likely why"),
        rows=tuple(_row(pair, found.compared) for pair in pairs),
        texts=frozenset({"model", "likely why"}),
    )


def _block(pair: Pair, checks: Compared) -> Grid:
    """One pair as a table of its own, with what is likely behind it below."""
    ours, theirs = pair.ours.line, pair.theirs
    sums: list[tuple[str, int, int]] = []
    if checks.tokens:
        sums += [("input tokens", theirs.input_tokens, ours.input_tokens)]
        sums += [("output tokens", theirs.output_tokens, ours.output_tokens)]
    rows: list[tuple[Cell, ...]] = [(name, billed, counted, counted - billed) for name, billed, counted in sums]
    if checks.amounts:
        billed, counted = theirs.cost_nusd, ours.cost_nusd
        rows.append(("cost", Usd(billed), Usd(counted), Usd(counted - billed)))
    return Grid(
        title=f"{pair.day.isoformat()} {pair.model or '(all models)'}",
        header=("", "invoice", "ledger", "difference"),
        rows=tuple(rows),
        notes=pair.reasons,
    )


def _row(pair: Pair, checks: Compared) -> tuple[Cell, ...]:
    ours, theirs = pair.ours.line, pair.theirs
    cells: list[Cell] = [pair.day.isoformat(), pair.model or "(all)"]
    if checks.tokens:
        cells += [theirs.input_tokens, ours.input_tokens, ours.input_tokens - theirs.input_tokens]
        cells += [theirs.output_tokens, ours.output_tokens, ours.output_tokens - theirs.output_tokens]
    if checks.amounts:
        cells += [Usd(theirs.cost_nusd), Usd(ours.cost_nusd), Usd(ours.cost_nusd - theirs.cost_nusd)]
    return (*cells, "; ".join(pair.reasons))


def _sum(charges: Iterable[Charge]) -> Charge:
    total = Charge()
    for charge in charges:
        total.input_tokens += charge.input_tokens
        total.output_tokens += charge.output_tokens
        total.cost_nusd += charge.cost_nusd
    return total
