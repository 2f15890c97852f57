"""Answers of commands: a table on a terminal, tab-separated lines in a pipe, JSON where it is asked for.

Names in them come from callers, and what is in a pipe often ends on a terminal: they are text, never markup or control
characters.
"""

import csv
import sys
from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trunkline_kit.printable import printable, printable_json, printable_lines
from trunkline_standalone.columns import Column, print_table

Cells = Sequence[str]


def say(text: str) -> None:
    """The command's answer."""
    print(_for_standard_output(text), file=sys.stdout)  # noqa: T201


def say_file(text: str) -> None:
    """An answer that is a file as it is: exactly in a pipe, and nothing that a terminal obeys on a terminal."""
    print(_for_standard_output(text), end="", file=sys.stdout)  # noqa: T201


def note(text: str) -> None:
    """Beside the answer, for people: standard output stays free for what is to be piped."""
    print(printable_lines(text), file=sys.stderr)  # noqa: T201


def say_json(answer: bytes) -> None:
    """What a gateway answered, indented."""
    say(printable_json(msgspec.json.format(answer, indent=2).decode()))


def say_table(header: Sequence[str | Column], rows: Sequence[Cells], console: Console | None = None) -> None:
    """One row for each; a pipe gets all columns, a terminal those that there is room for."""
    columns = [one if isinstance(one, Column) else Column(name=one) for one in header]
    console = console or Console()
    if console.is_terminal:
        print_table(columns, rows, console)
    else:
        write_tabbed([[column.name for column in columns], *rows])


def say_fields(fields: Sequence[tuple[str, str]], console: Console | None = None) -> None:
    """One object, a line for each field that has something to say."""
    shown = [(name, value) for name, value in fields if value]
    console = console or Console()
    if not console.is_terminal:
        write_tabbed(shown)
        return
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in shown:
        table.add_row(Text(name), Text(printable(value)))
    console.print(table)


def write_tabbed(rows: Iterable[Cells]) -> None:
    """Lines for other programs: a cell with a tab or a line feed is quoted."""
    writer = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n")
    writer.writerows([printable_lines(cell) for cell in row] for row in rows)


def _for_standard_output(text: str) -> str:
    return printable_lines(text) if sys.stdout.isatty() else text
