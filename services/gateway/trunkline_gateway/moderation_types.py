"""Moderations as the document describes them. What the gateway decides on is `ModerationControl`."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""OpenAI's (API reference, "Moderations", read 2026-11-25)."""


class ModerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What POST /v1/moderations takes."""

    input: str | Annotated[list[str | dict[str, Any]], Meta(min_length=1, max_length=1024)]
    """A text, several texts, or parts of type `text`."""
    model: str | None = None
    """Any name: our own guardrails judge."""


class ModerationFinding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check objects to, and where; never the text itself."""

    check: str
    kind: str
    action: str
    param: str
    start_chars: int
    end_chars: int
    score: float


class Objections(msgspec.Struct, frozen=True, kw_only=True):
    """Of one input."""

    action: str
    """What the key's policy does with such an input in a request."""
    findings: list[ModerationFinding]


class ModerationResult(msgspec.Struct, frozen=True, kw_only=True):
    flagged: bool
    """Whether any check objects, also where no category of OpenAI's fits."""
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[str]]
    """Empty where nobody judged the category."""
    trunkline: Objections


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """Who judged."""

    checks: list[str]
    version: str
    """Of the policies."""


class ModerationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What POST /v1/moderations answers: a result for each input."""

    id: str
    model: str
    results: list[ModerationResult]
    trunkline: Judgement
