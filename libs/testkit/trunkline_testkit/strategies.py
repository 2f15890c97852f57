"""Hypothesis strategies for what arrives from a network."""

from itertools import pairwise

from hypothesis import strategies as st


def byte_splits(data: bytes, max_pieces: int = 16) -> st.SearchStrategy[tuple[bytes, ...]]:
    """Every way to cut `data` into non-empty pieces, also inside a character or a line break."""
    if len(data) < 2:
        return st.just((data,) if data else ())
    borders = st.sets(st.integers(1, len(data) - 1), max_size=max_pieces - 1)
    return borders.map(lambda cuts: _cut(data, sorted(cuts)))


def _cut(data: bytes, cuts: list[int]) -> tuple[bytes, ...]:
    edges = [0, *cuts, len(data)]
    return tuple(data[start:end] for start, end in pairwise(edges))


def sse_payloads() -> st.SearchStrategy[list[str]]:
    """Payloads of `data:` lines: any text without line breaks, also empty, blank or not ASCII."""
    line = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=40)
    return st.lists(line, max_size=12)


def sse_bytes(payloads: list[str], newline: str = "\n") -> bytes:
    """The payloads as an event stream. Source: WHATWG HTML, §9.2 "Server-sent events"."""
    return "".join(f"data: {payload}{newline}{newline}" for payload in payloads).encode()
