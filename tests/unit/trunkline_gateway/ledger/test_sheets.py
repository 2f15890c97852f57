import csv
import io
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.ledger.sheets import Grid, Share, Sheet, Usd, exact, html, markdown, sheet_csv, shown

SHEET = Sheet(
    title="Team search, November 2026",
    facts=(("Cost", Usd(12_345_678_901)), ("Requests", 12_345)),
    grids=(
        Grid(
            title="Models",
            header=("model", "tokens", "cost", "share", "why"),
            rows=(("gpt-4o", 1_000_000, Usd(1), Share(1, 3), "a|b"), ("<b>x</b>", 0, Usd(0), Share(0, 0), "")),
            texts=frozenset({"why"}),
        ),
    ),
    notes=("Some are estimated.",),
)


@pytest.mark.parametrize(
    ("cell", "people", "files"),
    [
        ("text", "text", "text"),
        (1_234_567, "1,234,567", "1234567"),
        (Usd(12_345_678_901), "$12.35", "12.345678901"),
        (Usd(-5_000_000_000), "-$5.00", "-5"),
        (Share(1, 3), "33.3 %", "0.333333"),
        (Share(0, 0), "-", ""),
    ],
)
def test_cells_are_short_for_people_and_exact_in_files(cell, people, files):
    assert (shown(cell), exact(cell)) == (people, files)


def test_markdown_gives_no_orders_to_a_terminal():
    text = markdown(Sheet(title="a\x1b[2J", facts=(("b\x9b", "c\x07"),), grids=(), notes=("d\x7f",)))
    assert not {"\x1b", "\x9b", "\x07", "\x7f"} & set(text)
    assert "# a\ufffd[2J" in text


def test_markdown_is_a_table_also_without_a_renderer():
    lines = markdown(SHEET).splitlines()
    rows = [line for line in lines if "gpt-4o" in line or "x&lt;/b" in line or "&lt;b>x" in line]
    assert len(rows) == 2
    assert len({len(line) for line in lines if (line.startswith("| ") and "why" in line) or line in rows}) == 1
    assert "a\\|b" in rows[0]
    assert "---:" in "".join(lines)
    assert lines[-1] == "- Some are estimated."


class Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_html_is_one_page_and_names_stay_text():
    page = Text()
    page.feed(html(SHEET))
    assert "<b>x</b>" in page.text
    assert "b" not in page.tags
    assert (page.tags.count("table"), page.tags.count("li")) == (2, 1)
    assert not {"script", "link", "img"} & set(page.tags)


def test_notes_of_a_table_stand_below_it():
    sheet = Sheet(title="t", facts=(), grids=(Grid(title="g", header=("a",), rows=(("x",),), notes=("why|<b>",)),))
    assert markdown(sheet).endswith("| x   |\n\n- why\\|&lt;b>\n")
    assert "</table>\n<ul>\n<li>why|&lt;b&gt;</li>\n</ul>" in html(sheet)


def test_csv_is_one_value_a_row():
    rows = list(csv.DictReader(io.StringIO(sheet_csv(SHEET))))
    assert rows[0] == {"table": "Summary", "row": "Cost", "column": "value", "value": "12.345678901"}
    assert {row["column"] for row in rows if row["row"] == "gpt-4o"} == {"tokens", "cost", "share", "why"}


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_no_name_breaks_a_table(names):
    grid = Grid(title="t", header=("name", "n"), rows=tuple((name, 1) for name in names))
    text = markdown(Sheet(title="t", facts=(), grids=(grid,)))
    after = text.split("## t\n\n", 1)[1]
    lines = after.removesuffix("\n").split("\n")
    assert len(lines) == 2 + len(names)
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    page = Text()
    page.feed(html(Sheet(title="t", facts=(), grids=(grid,))))
    assert page.tags.count("tr") == 1 + len(names)
