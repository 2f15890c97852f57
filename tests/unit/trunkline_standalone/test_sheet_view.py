import io

from rich.console import Console

from trunkline_gateway.ledger.sheets import Grid, Share, Sheet, Usd
from trunkline_standalone.sheet_view import say_sheet


def test_a_sheet_on_a_terminal_has_everything_and_takes_no_orders_from_names():
    grid = Grid(
        title="Models",
        header=("model", "cost", "share"),
        rows=(("[red]m[/red]", Usd(1), Share(1, 2)), ("\x1b[2J", 1, 2)),
    )
    sheet = Sheet(title="Team [b]x\x9b", facts=(("Cost", Usd(12_345_678_901)),), grids=(grid,), notes=("A note.",))
    out = io.StringIO()
    say_sheet(sheet, Console(file=out, width=80))
    text = out.getvalue()
    for part in ("Team [b]x", "$12.35", "Models", "[red]m[/red]", "50.0 %", "A note."):
        assert part in text
    assert not {"\x1b", "\x9b"} & set(text)
    assert "\ufffd[2J" in text
    assert max(map(len, text.splitlines())) <= 80


def test_numbers_of_a_sheet_are_whole_on_any_terminal_and_reasons_stand_below():
    header = ("model", "attempts", "input tokens", "cost", "share")
    rows = (("anthropic/claude-sonnet-4-5-20250929-v1:0", 123_456, 987_654_321, Usd(123_456_780_000_000), Share(1, 1)),)
    grid = Grid(title="Models", header=header, rows=rows, spare=("attempts", "share"), notes=("for this reason",))
    for width, shown in ((120, True), (50, False)):
        out = io.StringIO()
        say_sheet(Sheet(title="t", facts=(), grids=(grid,)), Console(file=out, width=width))
        text = out.getvalue()
        assert "987,654,321" in text
        assert "$123,456.78" in text
        assert ("123,456 " in text) is shown
        assert "  - for this reason" in text
