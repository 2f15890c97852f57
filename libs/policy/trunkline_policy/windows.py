"""Sliding windows and leases over numbered cells of time.

A window of `CELLS` cells is counted together with the cell that is just leaving it. So what is counted covers any
window that ends now, wherever it begins: never more than the limit in any window, no doubling at an edge. The price is
that an event counts for up to one cell, 1/20 of the window, too long.

Cells are mappings of cell number to count; times are milliseconds since the epoch. All functions are O(cells).
"""

from collections.abc import Mapping

CELLS = 20
"""Cells per window."""
LEASE_CELL_MS = 5_000
"""Leases run out at ends of such cells: up to this much later than asked for."""

Cells = Mapping[int, int]


def width_ms(window_s: float) -> int:
    """The width of one cell of a window, rounded up: the window is never shorter than asked for."""
    return max(1, -(-round(window_s * 1000) // CELLS))


def kept(cells: Cells, now_ms: int, width: int) -> dict[int, int]:
    """The cells that still count. One that is further ahead than a window comes from a clock that was set back."""
    current = now_ms // width
    return {cell: count for cell, count in cells.items() if current - CELLS <= cell <= current + CELLS}


def used(cells: Cells, now_ms: int, width: int) -> int:
    """What counts now."""
    return sum(kept(cells, now_ms, width).values())


def added(cells: Cells, now_ms: int, width: int, count: int) -> dict[int, int]:
    """The cells after `count` more happened now."""
    after = kept(cells, now_ms, width)
    current = now_ms // width
    after[current] = after.get(current, 0) + count
    return after


def given_back(cells: Cells, then_ms: int, now_ms: int, width: int, count: int) -> dict[int, int]:
    """The cells without `count` of what was added at `then_ms`; no change if that does not count any more."""
    after = kept(cells, now_ms, width)
    cell = then_ms // width
    if cell in after:
        after[cell] = max(0, after[cell] - count)
    return after


def wait_ms(cells: Cells, now_ms: int, width: int, limit: int, count: int) -> int | None:
    """After how long `count` more would fit if nothing else came; 0 for now, None for never."""
    if count > limit:
        return None
    counting = kept(cells, now_ms, width)
    excess = sum(counting.values()) + count - limit
    if excess <= 0:
        return 0
    for cell in sorted(counting):
        excess -= counting[cell]
        if excess <= 0:
            return left_at_ms(cell, width) - now_ms
    return None


def reset_ms(cells: Cells, now_ms: int, width: int) -> int:
    """After how long nothing that is there now counts any more."""
    counting = [cell for cell, count in kept(cells, now_ms, width).items() if count > 0]
    return left_at_ms(max(counting), width) - now_ms if counting else 0


def left_at_ms(cell: int, width: int) -> int:
    """When a cell has left the window."""
    return (cell + CELLS + 1) * width


def lease_cell(now_ms: int, lease_ms: int) -> int:
    """The cell at whose end a lease that begins now has run out."""
    return (now_ms + lease_ms) // LEASE_CELL_MS + 1


def leased(cells: Cells, now_ms: int) -> dict[int, int]:
    """What is out on leases that have not run out, by the cell they run out in."""
    return {cell: count for cell, count in cells.items() if cell * LEASE_CELL_MS > now_ms}
