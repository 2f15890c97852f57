"""News survive the way, whatever clock they were seen by."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.fleet.news import Kind, News, Report, decode_report, encode_report

MOMENTS = st.floats(0, 1e9)
NEWS = st.builds(News, st.sampled_from(Kind), st.tuples(st.text(), st.text()), MOMENTS, MOMENTS)


@given(news=NEWS, gateway=st.text())
def test_what_is_written_is_read(news, gateway):
    report = Report(gateway, news)
    assert decode_report(encode_report(report)) == report


@given(news=NEWS, by_s=st.integers(-(10**6), 10**6))
def test_another_clock_moves_both_moments_alike(news, by_s):
    moved = news.moved(by_s)
    assert (moved.kind, moved.place) == (news.kind, news.place)
    assert moved.until_s - moved.at_s - (news.until_s - news.at_s) < 1e-3


def test_an_opening_and_a_closing_are_about_the_same_and_an_account_is_another():
    opened, closed, account = (News(kind, ("up", ""), 0, 0) for kind in Kind)
    assert opened.subject == closed.subject != account.subject


def test_what_another_version_writes_is_left_alone():
    assert decode_report(b"?") is None
    assert decode_report(b"\x92\xa1g\xc0") is None
