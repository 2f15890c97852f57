import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects.canonical import Citation
from trunkline_gateway.dialects.events import CitationEvent
from trunkline_gateway.dialects.gemini_citations import citations_of
from trunkline_gateway.dialects.gemini_wire import (
    GroundingChunk,
    GroundingMetadata,
    GroundingSupport,
    Segment,
    Source,
    Web,
)

PAGES = [GroundingChunk(web=Web("u1", "t1")), GroundingChunk(), GroundingChunk(retrieved_context=Web("u2"))]


def cited(texts, *sources, grounding=None):
    return citations_of(texts, sources, grounding, 0)


def test_places_are_characters_of_the_block():
    (found,) = cited([(1, "Grüße "), (4, "aus Köln")], Source(12, 17, "u", "t"))
    assert found == CitationEvent(Citation(url="u", title="t", start=4, end=8), 0, 4)


def test_the_same_is_said_once_and_what_has_no_address_is_not():
    assert len(cited([(0, "abc")], Source(0, 1, "u"), Source(0, 1, "u"), Source(0, 2, None))) == 1
    assert cited([], Source(0, 1, "u")) == []


@pytest.mark.parametrize(("indices", "urls"), [([0], ["u1"]), ([0, 2], ["u1", "u2"]), ([1, 7, -1], []), (None, [])])
def test_grounded(indices, urls):
    support = GroundingSupport(Segment(0, 3, "abc"), indices)
    found = cited([(0, "abc")], grounding=GroundingMetadata(PAGES, [support]))
    assert [event.citation.url for event in found] == urls
    assert {(event.citation.start, event.citation.end) for event in found} <= {(0, 3)}


texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=1, max_size=3)


@given(texts=texts, start=st.integers(-5, 40), end=st.one_of(st.none(), st.integers(-5, 40)))
def test_places_are_always_inside_the_text(texts, start, end):
    (found,) = cited([*enumerate(texts)], Source(start, end, "u"))
    length = len(texts[found.block])
    assert 0 <= found.citation.start <= length
    assert found.citation.end is None or 0 <= found.citation.end <= length
