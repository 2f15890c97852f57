"""What Gemini says of where its text is from, as citations of its text blocks. Pure.

Google counts places in bytes of UTF-8 from the beginning of the text; here they are characters of one block.
"""

from collections.abc import Iterator, Sequence

import msgspec

from trunkline_gateway.dialects import gemini_wire as wire
from trunkline_gateway.dialects.canonical import Citation
from trunkline_gateway.dialects.events import CitationEvent


class _Span(msgspec.Struct, frozen=True):
    """A text block, and where it begins and ends in the bytes of the whole text."""

    block: int
    data: bytes
    begin: int
    end: int

    def place(self, at: int) -> int:
        """In characters of the block."""
        inside = min(max(at - self.begin, 0), len(self.data))
        return len(self.data[:inside].decode(errors="ignore"))


def citations_of(
    texts: Sequence[tuple[int, str]],
    sources: Sequence[wire.Source],
    grounding: wire.GroundingMetadata | None,
    choice: int,
) -> list[CitationEvent]:
    """`texts` are the text blocks by number, in order. The same citation said twice is one."""
    spans = _spans(texts)
    if not spans:
        return []
    found = dict.fromkeys([*sources, *_grounded(grounding)])
    return [_event(source, spans, choice) for source in found if source.uri]


def _spans(texts: Sequence[tuple[int, str]]) -> list[_Span]:
    found: list[_Span] = []
    begin = 0
    for block, text in texts:
        data = text.encode(errors="replace")
        found.append(_Span(block, data, begin, begin + len(data)))
        begin += len(data)
    return found


def _grounded(grounding: wire.GroundingMetadata | None) -> Iterator[wire.Source]:
    """Each piece of the text with each web page it is from."""
    if grounding is None:
        return
    pages = [chunk.web or chunk.retrieved_context or chunk.maps for chunk in grounding.grounding_chunks or ()]
    for support in grounding.grounding_supports or ():
        segment = support.segment or wire.Segment()
        for index in support.grounding_chunk_indices or ():
            page = pages[index] if 0 <= index < len(pages) else None
            if page is not None:
                yield wire.Source(segment.start_index or 0, segment.end_index, page.uri, page.title)


def _event(source: wire.Source, spans: Sequence[_Span], choice: int) -> CitationEvent:
    at = source.start_index or 0
    span = next((span for span in spans if span.begin <= at < span.end), spans[-1])
    start = None if source.start_index is None else span.place(source.start_index)
    end = None if source.end_index is None else span.place(source.end_index)
    cited = Citation(url=source.uri or "", title=source.title or "", start=start, end=end)
    return CitationEvent(cited, choice, span.block)
