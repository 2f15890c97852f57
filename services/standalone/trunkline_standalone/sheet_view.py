"""Sheets of facts and tables on a terminal."""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trunkline_gateway.ledger.sheets import Cell, Grid, Sheet, shown
from trunkline_kit.printable import printable
from trunkline_standalone.columns import Column, Shape, print_table


def say_sheet(sheet: Sheet, console: Console) -> None:
    """Print it. Names in it come from people: they are text, never markup or control characters."""
    console.print(_text(sheet.title, style="bold"))
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column()
    facts.add_column(justify="right")
    for name, cell in sheet.facts:
        facts.add_row(_text(name), _text(cell))
    console.print(facts)
    for grid in sheet.grids:
        console.print()
        console.print(_text(grid.title, style="bold"))
        print_table(_columns(grid), [[shown(cell) for cell in row] for row in grid.rows], console)
        for note in grid.notes:
            console.print(Padding(_text(f"- {note}"), (0, 0, 0, 2)))
    for note in sheet.notes:
        console.print(_text(note, style="dim"))


def _columns(grid: Grid) -> list[Column]:
    spares = {name: len(grid.spare) - at for at, name in enumerate(grid.spare)}
    return [Column(name=name, shape=_shape(grid, at), spare=spares.get(name, 0)) for at, name in enumerate(grid.header)]


def _shape(grid: Grid, at: int) -> Shape:
    if grid.is_number(at):
        return Shape.NUMBER
    return Shape.TEXT if at else Shape.NAME


def _text(cell: Cell, style: str = "") -> Text:
    return Text(printable(shown(cell)), style=style)
