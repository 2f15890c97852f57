import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from trunkline_standalone.columns import GAP, NAME_CHARS_MAX, Column, Shape, Size, bounded, fitted, print_table

COLUMNS = (
    Column(name="day", shape=Shape.WHOLE),
    Column(name="end user", shape=Shape.NAME),
    Column(name="cache read tokens", shape=Shape.NUMBER, spare=2),
    Column(name="output tokens", shape=Shape.NUMBER, spare=1),
    Column(name="cost usd", shape=Shape.NUMBER),
)
ROW = ("2026-11-24", "ann@example.com", "123,456,789", "987,654,321", "123,456.789123456")


def lines_of(width, rows=(ROW,), columns=COLUMNS, footer=()):
    out = io.StringIO()
    print_table(columns, rows, Console(file=out, force_terminal=True, color_system=None, width=width), footer)
    return out.getvalue().splitlines()


def test_everything_is_there_where_there_is_room():
    text = "\n".join(lines_of(120))
    assert all(cell in text for cell in ROW)


def test_numbers_and_dates_are_whole_and_what_can_be_spared_goes_in_its_order():
    for width, gone in ((80, 0), (72, 0), (71, 1), (59, 1), (58, 2), (46, 2)):
        text = "\n".join(lines_of(width))
        kept = [cell for cell in (ROW[0], *ROW[2:]) if cell in text]
        assert kept == [ROW[0], *ROW[2 + gone :]], (width, text)
        assert "cost usd" in text
        assert max(map(len, lines_of(width))) <= width


def test_names_fold_before_anything_is_cut_and_numbers_go_over_the_edge_rather():
    lines = lines_of(30)
    assert any(line.rstrip().endswith(ROW[-1]) for line in lines)
    assert "".join(line[12:20].strip() for line in lines if "day" not in line).endswith(ROW[1])


def test_one_long_name_does_not_make_the_table_unreadable():
    lines = lines_of(80, [(ROW[0], "x" * 5_000, *ROW[2:])])
    assert len(lines) < 10
    assert "x…" in "".join(line.replace(" ", "") for line in lines)
    assert bounded("x" * NAME_CHARS_MAX) == "x" * NAME_CHARS_MAX
    assert len(bounded("x" * 5_000)) == NAME_CHARS_MAX


def test_texts_break_between_words_and_names_stay_text():
    text = "\n".join(
        lines_of(40, [("[red]a", "many words of some length in here")], [Column(name="a"), Column(name="b")])
    )
    assert "[red]a" in text
    assert all(word in text for word in ("many", "length", "here"))


def test_a_footer_is_part_of_the_table():
    assert lines_of(120, footer=("all", "", "1", "2", "3.5"))[-1].split() == ["all", "1", "2", "3.5"]
    assert lines_of(120, rows=())


def test_wide_letters_count_twice():
    line = lines_of(60, [("2026-11-24", "名前", "1", "2", "3.5")])[-1]
    assert "2026-11-24  名前      " in line


SIZES = st.lists(
    st.tuples(st.sampled_from(Shape), st.integers(1, 60), st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=8
)


@given(SIZES, st.integers(20, 200))
def test_a_table_fits_or_nothing_more_can_be_done(drawn, width):
    columns = [Column(name="c", shape=shape, spare=spare) for shape, _, _, spare in drawn]
    folds = {Shape.NAME, Shape.TEXT}
    sizes = [Size(least=least, natural=least + (more if shape in folds else 0)) for shape, least, more, _ in drawn]
    widths = fitted(columns, sizes, width)
    kept = [at for at, one in enumerate(widths) if one]
    assert all(at in kept for at, column in enumerate(columns) if not column.spare)
    assert all(widths[at] <= sizes[at].natural for at in kept)
    assert all(widths[at] == sizes[at].natural for at in kept if columns[at].shape not in folds)
    total = sum(widths) + GAP * (len(kept) - 1)
    assert total <= width or not any(columns[at].spare for at in kept)
