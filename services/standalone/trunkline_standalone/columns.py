"""Tables for terminals of any width: numbers and dates stay whole, names fold, and what can be spared goes."""

import textwrap
from collections.abc import Sequence
from enum import Enum

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trunkline_kit.printable import printable

GAP = 2
"""Spaces between columns."""
NAME_CHARS_MAX = 64
"""Of a name in a table: whoever chose a longer one does not make the table unreadable for all others."""
NAME_LEAST = 16
ID_LEAST = 36
"""Of what is to be copied into the next command: rather whole than everything else beside it."""
_TEXT_LEAST = 24
_NAME_TIGHT = 8
"""Where nothing can be spared any more."""
_CUT = "…"


class Shape(Enum):
    """What a column may become."""

    NUMBER = "number"
    """To the right, never cut or broken."""
    WHOLE = "whole"
    """A date or a word, the same to the left."""
    NAME = "name"
    """Bounded; broken over lines where it must be, but after texts."""
    TEXT = "text"
    """Over as many lines as it takes."""


_FOLDED = (Shape.NAME, Shape.TEXT)
"""Those that may become narrower, in the order in which they get what room there is."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One of a table."""

    name: str
    shape: Shape = Shape.TEXT
    spare: int = 0
    """Where there is too little room, the columns with the highest are left out first; 0: never."""
    least: int = NAME_LEAST
    """How much of a name stays on one line while there is something to spare."""


Cells = Sequence[str]


def print_table(columns: Sequence[Column], rows: Sequence[Cells], console: Console, footer: Cells = ()) -> None:
    """As wide as the terminal. What cannot be spared and does not fit goes beyond its edge rather than being cut."""
    lines = [[_safe(column, cell) for column, cell in zip(columns, row, strict=True)] for row in rows]
    last = [_safe(column, cell) for column, cell in zip(columns, footer, strict=True)] if footer else []
    sizes = [_size(column, [row[at] for row in (*lines, last) if row]) for at, column in enumerate(columns)]
    widths = fitted(columns, sizes, console.width)
    kept = [at for at, width in enumerate(widths) if width]
    total = sum(widths) + GAP * (len(kept) - 1)
    table = Table(
        box=None, header_style="bold", padding=(0, GAP, 0, 0), pad_edge=False, show_footer=bool(last), width=total
    )
    for at in kept:
        table.add_column(
            Text("\n".join(_heading(columns[at].name, widths[at]))),
            footer=Text(last[at], style="bold") if last else "",
            justify="right" if columns[at].shape is Shape.NUMBER else "left",
            overflow="fold",
            width=widths[at],
        )
    for row in lines:
        table.add_row(*(Text(row[at]) for at in kept))
    console.print(table, crop=False, overflow="ignore")


class Size(msgspec.Struct, frozen=True):
    """How many characters a column takes."""

    least: int
    natural: int


def fitted(columns: Sequence[Column], sizes: Sequence[Size], width: int) -> list[int]:
    """How wide each column is; 0: left out. More than `width` together only where nothing can be spared."""
    kept = set(range(len(columns)))
    for at in sorted(kept, key=lambda at: -columns[at].spare):
        if columns[at].spare and sum(sizes[one].least + GAP for one in kept) - GAP > width:
            kept.remove(at)
    widths = [sizes[at].least if at in kept else 0 for at in range(len(columns))]
    if sum(widths) + GAP * (len(kept) - 1) > width:
        widths = [min(one, _NAME_TIGHT) if columns[at].shape in _FOLDED else one for at, one in enumerate(widths)]
    room = width - sum(widths) - GAP * (len(kept) - 1)
    for shape in _FOLDED:
        growing = [at for at in sorted(kept) if columns[at].shape is shape]
        room = _grown(widths, sizes, growing, room)
    return widths


def bounded(name: str) -> str:
    """A name as tables have it."""
    return name if len(name) <= NAME_CHARS_MAX else name[: NAME_CHARS_MAX - 1] + _CUT


def _grown(widths: list[int], sizes: Sequence[Size], growing: Sequence[int], room: int) -> int:
    """Share the room evenly, nobody beyond their natural size; what is left."""
    waiting = sorted(growing, key=lambda at: sizes[at].natural - widths[at])
    for position, at in enumerate(waiting):
        more = min(sizes[at].natural - widths[at], max(0, room) // (len(waiting) - position))
        widths[at] += more
        room -= more
    return room


def _size(column: Column, cells: Cells) -> Size:
    heading = max(map(cell_len, column.name.split()), default=0)
    natural = max([heading, *map(cell_len, cells)], default=1) or 1
    if column.shape is Shape.NAME:
        least = min(natural, max(heading, column.least))
    elif column.shape is Shape.TEXT:
        natural = max(natural, cell_len(column.name))
        words = max((cell_len(word) for cell in cells for word in cell.split()), default=0)
        least = min(natural, max(heading, min(words, _TEXT_LEAST)))
    else:
        least = natural
    return Size(least=least, natural=natural)


def _safe(column: Column, cell: str) -> str:
    text = printable(cell)
    return bounded(text) if column.shape is Shape.NAME else text


def _heading(name: str, width: int) -> list[str]:
    """Over several lines where its numbers are narrower: between words."""
    return textwrap.wrap(name, width) or [""]
