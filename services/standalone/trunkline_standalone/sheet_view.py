"""Sheets of facts and tables on a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trunkline_gateway.ledger.sheets import Grid, Sheet, shown


def say_sheet(sheet: Sheet, console: Console) -> None:
    """Print it. Names in it come from people: they are text, never markup."""
    console.print(Text(sheet.title, style="bold"))
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column()
    facts.add_column(justify="right")
    for name, cell in sheet.facts:
        facts.add_row(Text(name), Text(shown(cell)))
    console.print(facts)
    for grid in sheet.grids:
        console.print()
        console.print(Text(grid.title, style="bold"))
        console.print(_table(grid))
    for note in sheet.notes:
        console.print(Text(note, style="dim"))


def _table(grid: Grid) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for at, name in enumerate(grid.header):
        table.add_column(Text(name), justify="right" if grid.is_number(at) else "left", overflow="fold")
    for row in grid.rows:
        table.add_row(*(Text(shown(cell)) for cell in row))
    return table
