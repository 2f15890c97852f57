"""What a provider says that was used and what it costs, out of its CSV: added up by day and model. Bounded memory.

OpenAI's usage and cost exports, Anthropic's usage and cost exports, FOCUS; any other file by naming its columns. The
headers of the first four are those that public tools read (looked up 2026-11-24): providers do not document them.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TextIO

import msgspec

from trunkline_kit.errors import InvalidRequest
from trunkline_policy.money import nusd_of

LINE_CHARS_MAX = 1 << 16
PLACES_MAX = 50_000
"""Days times models in one file."""
AMOUNT_DIGITS_MAX = 15
"""Before the point; no invoice has more."""
_DATED = re.compile(r"-(20\d\d-?[01]\d-?[0-3]\d|latest)$")
"""A version at the end of a model's name: `-2024-07-18`, `-20250929`, `-latest`."""
_NUMBER = re.compile(r"^-?\$?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?([eE][+-]?\d{1,3})?$", re.ASCII)
"""With thousands in groups of three or not. A comma before cents is refused, not misread."""
_EPOCH = re.compile(r"^\d{9,11}(\.\d+)?$", re.ASCII)

Place = tuple[date, str]
"""A day in UTC and a model."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns mean what. Several of one kind are added up; what a file does not say is empty."""

    name: str
    needs: tuple[str, ...] = ()
    """It is this layout if all of these are there."""
    date: tuple[str, ...]
    """The first that is there."""
    model: str = ""
    input: tuple[str, ...] = ()
    """All that was read, from caches too."""
    output: tuple[str, ...] = ()
    amount: str = ""
    currency: str = ""


LAYOUTS = (
    Layout(
        name="openai usage",
        needs=("start_time", "num_model_requests", "input_tokens", "output_tokens"),
        date=("start_time", "start_time_iso"),
        model="model",
        input=("input_tokens",),
        output=("output_tokens",),
    ),
    Layout(
        name="openai costs",
        needs=("start_time", "amount_value"),
        date=("start_time", "start_time_iso"),
        model="line_item",
        amount="amount_value",
        currency="amount_currency",
    ),
    Layout(
        name="anthropic usage",
        needs=("usage_date_utc", "usage_input_tokens_no_cache", "usage_output_tokens"),
        date=("usage_date_utc",),
        model="model_version",
        input=(
            "usage_input_tokens_no_cache",
            "usage_input_tokens_cache_write_5m",
            "usage_input_tokens_cache_write_1h",
            "usage_input_tokens_cache_read",
        ),
        output=("usage_output_tokens",),
    ),
    Layout(
        name="anthropic costs",
        needs=("usage_date_utc", "cost_usd"),
        date=("usage_date_utc",),
        model="model",
        amount="cost_usd",
    ),
    Layout(
        name="focus",
        needs=("chargeperiodstart", "billedcost"),
        date=("chargeperiodstart",),
        model="skuid",
        amount="billedcost",
        currency="billingcurrency",
    ),
)
_FIELDS = ("date", "model", "input", "output", "amount", "currency")
"""What `--columns` may name."""


class Charge(msgspec.Struct, kw_only=True):
    """What was charged for one model on one day; grows as the file is read."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_nusd: int = 0


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """A file's sums."""

    layout: str
    charges: Mapping[Place, Charge]
    rows: int
    has_tokens: bool
    has_amounts: bool
    has_models: bool
    """Without models there are only sums of days."""

    @property
    def days(self) -> tuple[date, date] | None:
        """The first and the last; None for an invoice of nothing."""
        found = [day for day, _ in self.charges]
        return (min(found), max(found)) if found else None


def canonical(model: str, same: Mapping[str, str] | None = None) -> str:
    """One spelling for what invoices and gateways call a model: `Claude Haiku 4.5`, `claude-haiku-4-5-20251001`."""
    named = (same or {}).get(model.strip(), model).strip().lower()
    return _DATED.sub("", re.sub(r"[\s.]+", "-", named))


def layout_of(text: str) -> Layout:
    """`date=Day,model=Model,input=In,output=Out,amount=Cost` as a layout. Raises InvalidRequest."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    named: dict[str, tuple[str, ...]] = {}
    for field, _, column in pairs:
        name, column_name = field.strip(), column.strip().lower()
        if name not in _FIELDS or not column_name:
            text = f"--columns takes {', '.join(f'{one}=COLUMN' for one in _FIELDS)}; not {field}"
            raise InvalidRequest(text, param="columns")
        named[name] = (*named.get(name, ()), column_name)
    if "date" not in named or not named.keys() & {"input", "output", "amount"}:
        raise InvalidRequest("--columns must name date, and at least one of input, output, amount", param="columns")
    return Layout(
        name="columns",
        needs=tuple(column for columns in named.values() for column in columns),
        date=named["date"],
        model=named.get("model", ("",))[0],
        input=named.get("input", ()),
        output=named.get("output", ()),
        amount=named.get("amount", ("",))[0],
        currency=named.get("currency", ("",))[0],
    )


def read_invoice(
    file: TextIO, name: str, layout: Layout | None = None, same: Mapping[str, str] | None = None
) -> Invoice:
    """All of it. Raises InvalidRequest, which names the line and the column that are wrong."""
    reader = csv.reader(_lines(file, name))
    try:
        header = [column.strip().lower() for column in next(reader, [])]
        found = _detected(header, name, layout)
        return _summed(reader, header, found, Source(name=name, same=same or {}))
    except csv.Error as error:
        raise InvalidRequest(f"{name} line {reader.line_num}: not CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{name} near line {reader.line_num + 1}: not UTF-8; save it as UTF-8 CSV") from error


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where rows are from."""

    name: str
    same: Mapping[str, str]
    """Names of models on the invoice: what the gateway calls them."""


class Row:
    """One row by its columns."""

    def __init__(self, header: Sequence[str], cells: Sequence[str], place: str) -> None:
        self._cells = dict(zip(header, cells, strict=False))
        self._place = place

    def text(self, column: str) -> str:
        return self._cells.get(column, "").strip()

    def wrong(self, column: str, why: str) -> InvalidRequest:
        """The error for a cell."""
        return InvalidRequest(f"{self._place}, column {column}: {self.text(column)[:40]!r} {why}")

    def number(self, column: str) -> Decimal:
        """0 for an empty cell."""
        text = self.text(column)
        if not text:
            return Decimal(0)
        if not _NUMBER.match(text):
            raise self.wrong(column, "is no number; 1234.5 and 1,234.5 are")
        value = Decimal(text.replace("$", "").replace(",", ""))
        if value.adjusted() >= AMOUNT_DIGITS_MAX:
            raise self.wrong(column, "is larger than any invoice")
        return value

    def count(self, column: str) -> int:
        """Of tokens."""
        value = self.number(column)
        if value < 0 or value != int(value):
            raise self.wrong(column, "is no number of tokens")
        return int(value)

    def day(self, column: str) -> date:
        """In UTC; seconds since the epoch, a date, or a time."""
        text = self.text(column)
        try:
            if _EPOCH.match(text):
                return datetime.fromtimestamp(float(text), UTC).date()
            moment = datetime.fromisoformat(text)
        except (ValueError, OverflowError) as error:
            raise self.wrong(column, "is no date; 2026-11-24 is one") from error
        return (moment.astimezone(UTC) if moment.tzinfo else moment).date()


def _summed(reader: Iterator[list[str]], header: Sequence[str], layout: Layout, source: Source) -> Invoice:
    charges: dict[Place, Charge] = {}
    numbers = [column for column in (*layout.input, *layout.output, layout.amount) if column in header]
    column = next(one for one in layout.date if one in header)
    rows = 0
    for cells in reader:
        row = Row(header, cells, f"{source.name} line {reader.line_num}")  # type: ignore[attr-defined]  # csv's own
        # Days on which nothing was used are there without numbers.
        if not any(row.text(number) for number in numbers):
            continue
        rows += 1
        if layout.currency and row.text(layout.currency).lower() not in {"", "usd"}:
            raise row.wrong(layout.currency, "is not USD; the ledger counts in dollars")
        place = (row.day(column), _model(row, layout, source.same))
        if place not in charges and len(charges) >= PLACES_MAX:
            raise InvalidRequest(f"{source.name} has more than {PLACES_MAX} days times models; give a shorter time")
        charge = charges.setdefault(place, Charge())
        charge.input_tokens += sum(row.count(one) for one in layout.input if one in header)
        charge.output_tokens += sum(row.count(one) for one in layout.output if one in header)
        charge.cost_nusd += nusd_of(row.number(layout.amount)) if layout.amount else 0
    return Invoice(
        layout=layout.name,
        charges=charges,
        rows=rows,
        has_tokens=bool(layout.input or layout.output),
        has_amounts=bool(layout.amount),
        has_models=any(model for _, model in charges),
    )


def _model(row: Row, layout: Layout, same: Mapping[str, str]) -> str:
    """OpenAI's line items are a model and, behind a comma, what of it."""
    return canonical(row.text(layout.model).partition(",")[0], same) if layout.model else ""


def _detected(header: Sequence[str], name: str, layout: Layout | None) -> Layout:
    present = set(header)
    if layout is not None:
        if missing := [column for column in layout.needs if column not in present]:
            raise InvalidRequest(f"{name} has no column {', '.join(missing)}; it has {_told(header)}", param="columns")
        return layout
    for known in LAYOUTS:
        if present.issuperset(known.needs):
            return known
    names = ", ".join(known.name for known in LAYOUTS)
    raise InvalidRequest(
        f"{name} is none of {names}; it has the columns {_told(header)}: say which is which, such as"
        " --columns date=…,model=…,input=…,output=…,amount=…"
    )


def _told(header: Sequence[str]) -> str:
    return ", ".join(header[:40])[:500] or "no columns"


def _lines(file: TextIO, name: str) -> Iterator[str]:
    """Bounded: a file without line ends must not fill the memory."""
    number = 0
    while line := file.readline(LINE_CHARS_MAX):
        number += 1
        if len(line) >= LINE_CHARS_MAX and not line.endswith("\n"):
            raise InvalidRequest(f"{name} line {number} has more than {LINE_CHARS_MAX} characters: no CSV")
        yield line.removeprefix("\ufeff") if number == 1 else line
