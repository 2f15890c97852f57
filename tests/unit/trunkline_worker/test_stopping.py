from hypothesis import given
from hypothesis import strategies as st

from trunkline_worker.stopping import StopMatcher, first_stop

letters = st.text("abc", max_size=12)
stops = st.lists(st.text("abc", min_size=1, max_size=4), max_size=4)


@given(st.lists(letters, max_size=8), stops)
def test_streamed_text_is_the_whole_text_cut_at_the_first_stop(pieces, stops):
    matcher = StopMatcher(stops)
    streamed = "".join(matcher.push(piece) for piece in pieces) + matcher.flush()
    whole = "".join(pieces)
    expected = min(((whole.find(s) + len(s), whole.find(s), s) for s in stops if s in whole), default=None)
    assert streamed == (whole if expected is None else whole[: expected[1]])
    assert matcher.matched == ("" if expected is None else expected[2])


@given(st.lists(letters, max_size=8), stops)
def test_what_was_let_through_never_has_a_part_of_the_stop(pieces, stops):
    matcher = StopMatcher(stops)
    shown = ""
    for piece in pieces:
        shown += matcher.push(piece)
        assert not any(stop in shown for stop in stops)


def test_a_stop_over_many_pieces():
    matcher = StopMatcher(["\n\nUser:"])
    assert [matcher.push(piece) for piece in ("Hi", " there\n", "\nUs", "er", ":", "more")] == [
        "Hi",
        " there",
        "",
        "",
        "",
        "",
    ]
    assert matcher.matched == "\n\nUser:"
    assert matcher.flush() == ""


def test_a_beginning_that_comes_to_nothing_is_let_through():
    matcher = StopMatcher(["STOP"])
    assert [matcher.push("a ST"), matcher.push("AR")] == ["a ", "STAR"]


def test_without_stops_everything_passes():
    assert StopMatcher([]).push("text") == "text"
    assert first_stop("text", []) is None
