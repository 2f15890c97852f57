"""A page of facts and tables for people, and how it looks as Markdown, HTML and CSV. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

import msgspec

from trunkline_gateway.ledger.exports import written_csv
from trunkline_kit.printable import printable
from trunkline_policy.money import usd_short, usd_text

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:0 0 1.5rem}th,td{padding:.2rem .8rem;border-bottom:1px solid #ccc}"
    "th{text-align:left}.n{text-align:right;font-variant-numeric:tabular-nums}"
)


class Usd(msgspec.Struct, frozen=True):
    """Money in a cell: short for people, exact in files."""

    nusd: int


class Share(msgspec.Struct, frozen=True):
    """A part of a whole in a cell."""

    part: int
    whole: int


Cell = str | int | Usd | Share


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """A table. The first column is text, all others are numbers unless `texts` names them."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    texts: frozenset[str] = frozenset()
    spare: tuple[str, ...] = ()
    """Columns that a narrow terminal can do without, the first of them first."""
    notes: tuple[str, ...] = ()
    """Below it."""

    def is_number(self, column: int) -> bool:
        """Whether a column is aligned to the right."""
        return column > 0 and self.header[column] not in self.texts


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """The page."""

    title: str
    facts: tuple[tuple[str, Cell], ...]
    grids: tuple[Grid, ...]
    notes: tuple[str, ...] = ()


def shown(cell: Cell) -> str:
    """For people."""
    if isinstance(cell, Usd):
        sign = "-" if cell.nusd < 0 else ""
        return f"{sign}${usd_short(abs(cell.nusd))}"
    if isinstance(cell, Share):
        return f"{100 * cell.part / cell.whole:.1f} %" if cell.whole else "-"
    return f"{cell:,}" if isinstance(cell, int) else cell


def exact(cell: Cell) -> str:
    """For files."""
    if isinstance(cell, Usd):
        return usd_text(cell.nusd)
    if isinstance(cell, Share):
        return f"{cell.part / cell.whole:.6f}" if cell.whole else ""
    return str(cell)


def markdown(sheet: Sheet) -> str:
    """As in GitHub's dialect; readable as it is."""
    lines = [f"# {_plain(sheet.title)}", ""]
    lines += _markdown_table(("", ""), [(name, shown(cell)) for name, cell in sheet.facts], [False, True])
    for grid in sheet.grids:
        rows = [[shown(cell) for cell in row] for row in grid.rows]
        numbers = [grid.is_number(at) for at in range(len(grid.header))]
        lines += ["", f"## {_plain(grid.title)}", "", *_markdown_table(grid.header, rows, numbers)]
        lines += ["", *(f"- {_plain(note)}" for note in grid.notes)] if grid.notes else []
    if sheet.notes:
        lines += ["", *(f"- {_plain(note)}" for note in sheet.notes)]
    return "\n".join(lines) + "\n"


def html(sheet: Sheet) -> str:
    """One page without anything from elsewhere."""
    body = [f"<h1>{escape(sheet.title)}</h1>", "<table>"]
    body += [f'<tr><th>{escape(name)}</th><td class="n">{escape(shown(cell))}</td></tr>' for name, cell in sheet.facts]
    body.append("</table>")
    for grid in sheet.grids:
        body += [f"<h2>{escape(grid.title)}</h2>", "<table>", *_html_rows(grid), "</table>"]
        body += _html_notes(grid.notes)
    body += _html_notes(sheet.notes)
    head = f'<meta charset="utf-8"><title>{escape(sheet.title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(body) + "\n</body></html>\n"


def sheet_csv(sheet: Sheet) -> str:
    """One value a row, so that a spreadsheet can pivot it: table, row, column, value."""
    return written_csv(("table", "row", "column", "value"), _values(sheet))


def grid_csv(grid: Grid) -> str:
    """One table as it is, exactly."""
    return written_csv(grid.header, ([exact(cell) for cell in row] for row in grid.rows))


def _values(sheet: Sheet) -> Iterator[tuple[str, str, str, str]]:
    for name, cell in sheet.facts:
        yield "Summary", name, "value", exact(cell)
    for grid in sheet.grids:
        for row in grid.rows:
            for column, cell in zip(grid.header[1:], row[1:], strict=True):
                yield grid.title, exact(row[0]), column, exact(cell)


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[bool]) -> list[str]:
    """Padded, so that it is a table without any renderer, too."""
    cells = [[_plain(cell) for cell in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[at]) for row in cells)) for at in range(len(header))]
    lines = [
        " | ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numbers, strict=True)
        )
        for row in cells
    ]
    rule = " | ".join(
        "-" * (width - 1) + ":" if number else "-" * width for width, number in zip(widths, numbers, strict=True)
    )
    return [f"| {line} |" for line in (lines[0], rule, *lines[1:])]


def _html_notes(notes: Sequence[str]) -> list[str]:
    return ["<ul>", *(f"<li>{escape(note)}</li>" for note in notes), "</ul>"] if notes else []


def _html_rows(grid: Grid) -> Iterator[str]:
    kinds = [' class="n"' if grid.is_number(at) else "" for at in range(len(grid.header))]
    yield (
        "<tr>"
        + "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(grid.header, kinds, strict=True))
        + "</tr>"
    )
    for row in grid.rows:
        yield (
            "<tr>"
            + "".join(f"<td{kind}>{escape(shown(cell))}</td>" for cell, kind in zip(row, kinds, strict=True))
            + "</tr>"
        )


def _plain(text: str) -> str:
    """Names come from people: none of them may end a cell, a line or the page's sense."""
    flat = printable(" ".join(text.split()))
    return flat.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")
