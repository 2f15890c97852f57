"""Answers of commands: a table on a terminal, tab-separated lines in a pipe, JSON where it is asked for."""

import csv
import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

Cells = Sequence[str]


def say(text: str) -> None:
    """The command's answer."""
    print(text, file=sys.stdout)  # noqa: T201


def note(text: str) -> None:
    """Beside the answer, for people: standard output stays free for what is to be piped."""
    print(text, file=sys.stderr)  # noqa: T201


def say_json(answer: bytes) -> None:
    """What a gateway answered, indented."""
    say(msgspec.json.format(answer, indent=2).decode())


def say_table(header: Cells, rows: Sequence[Cells], console: Console | None = None) -> None:
    """One line for each row."""
    console = console or Console()
    if not console.is_terminal:
        csv.writer(sys.stdout, delimiter="\t", lineterminator="\n").writerows([header, *rows])
        return
    table = Table(box=None, header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    console.print(table)


def say_fields(fields: Sequence[tuple[str, str]], console: Console | None = None) -> None:
    """One object, a line for each field that has something to say."""
    shown = [(name, value) for name, value in fields if value]
    console = console or Console()
    if not console.is_terminal:
        csv.writer(sys.stdout, delimiter="\t", lineterminator="\n").writerows(shown)
        return
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in shown:
        table.add_row(name, value.replace("[", r"\["))
    console.print(table)
