"""What a request will probably use, before anybody knows. Pure, a few microseconds.

Input is estimated from the size of the request, by bytes per token as they were observed for the model and the kind of
text. Output by what the caller allows, or by the 95th percentile of what the model gave before.
"""

import math
import re
from collections.abc import Sequence
from enum import Enum

_BASE64 = re.compile(rb";base64,[A-Za-z0-9+/=]+")
_MEDIA_BYTES = 4_000
"""One embedded image or sound counts as this much text, about 1,000 tokens: the order of what providers charge."""
_MEDIA_TOKENS = 1_000
_SAMPLE_BYTES = 4_096

WEIGHT = 0.1
"""Of a new observation in a moving average."""
RATIO_MIN, RATIO_MAX = 0.5, 16.0
OUTPUT_DEFAULT = 512
"""Tokens assumed for an answer of which nothing is known: more than the common chat answer."""
QUANTILE = 0.95


class Script(Enum):
    """Kinds of text whose bytes per token differ, as seen in the bytes of JSON."""

    ASCII = "ascii"
    ESCAPED = "escaped"
    """`\\u0439`: what some JSON writers make of everything else."""
    MIXED = "mixed"
    """Mostly ASCII."""
    TWO_BYTE = "two_byte"
    """Cyrillic, Greek, Hebrew, Arabic and so on."""
    THREE_BYTE = "three_byte"
    """CJK, Indic scripts and so on."""


PRIORS = {
    Script.ASCII: 4.2,
    Script.ESCAPED: 7.0,
    Script.MIXED: 3.6,
    Script.TWO_BYTE: 4.0,
    Script.THREE_BYTE: 2.8,
}
"""Bytes per token until something was observed, rounded down from cl100k and o200k: the estimate is a bit high."""


def script_of(body: bytes) -> Script:
    """By a sample from the middle of the body, however long it is."""
    middle = max(0, len(body) // 2 - _SAMPLE_BYTES // 2)
    sample = body[middle : middle + _SAMPLE_BYTES]
    if body.isascii():
        return Script.ESCAPED if sample.count(b"\\u") * 24 > len(sample) else Script.ASCII
    bytes_per_char = len(sample) / max(1, len(sample.decode(errors="ignore")))
    if bytes_per_char < 1.25:
        return Script.MIXED
    return Script.TWO_BYTE if bytes_per_char < 2.05 else Script.THREE_BYTE


def text_bytes(body: bytes) -> int:
    """The size of a body with embedded media counted as a fixed amount of text each."""
    size = len(body)
    if b";base64," not in body:
        return size
    for found in _BASE64.finditer(body):
        size += _MEDIA_BYTES - (found.end() - found.start())
    return max(1, size)


def media_tokens(body: bytes) -> int:
    """What embedded images and sounds count as."""
    if b";base64," not in body:
        return 0
    return sum(1 for _ in _BASE64.finditer(body)) * _MEDIA_TOKENS


def input_tokens(size_bytes: int, bytes_per_token: float) -> int:
    """Rounded up; at least 1."""
    return max(1, math.ceil(size_bytes / bytes_per_token))


def learned(bytes_per_token: float, size_bytes: int, tokens: int) -> float:
    """The ratio after one more observation. What cannot be text at all (empty, or far off) teaches only a little."""
    if tokens <= 0 or size_bytes <= 0:
        return bytes_per_token
    seen = min(RATIO_MAX, max(RATIO_MIN, size_bytes / tokens))
    return bytes_per_token + WEIGHT * (seen - bytes_per_token)


def quantile(samples: Sequence[int], q: float = QUANTILE) -> int:
    """The smallest sample that at least `q` of all are not above. O(n log n); there must be at least one."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]
