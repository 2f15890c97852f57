import io

from rich.console import Console

from trunkline_gateway.ledger.sheets import Grid, Share, Sheet, Usd
from trunkline_standalone.sheet_view import say_sheet


def test_a_sheet_on_a_terminal_has_everything_and_takes_no_orders_from_names():
    grid = Grid(title="Models", header=("model", "cost", "share"), rows=(("[red]m[/red]", Usd(1), Share(1, 2)),))
    sheet = Sheet(title="Team [b]x", facts=(("Cost", Usd(12_345_678_901)),), grids=(grid,), notes=("A note.",))
    out = io.StringIO()
    say_sheet(sheet, Console(file=out, width=80))
    text = out.getvalue()
    for part in ("Team [b]x", "$12.35", "Models", "[red]m[/red]", "50.0 %", "A note."):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80
