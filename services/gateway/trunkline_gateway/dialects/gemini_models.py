"""What Google's models can do, by their names. Data.

Source: Google, "Gemini thinking", "Thought signatures" and "Function calling" (read 2026-11-25). A model that is not
known is taken to be able to do everything that the protocol has.
"""

import re
from typing import Final

import msgspec

from trunkline_gateway.dialects.abilities import Abilities

ABILITIES = Abilities(
    native=None,
    one_tool_at_a_time=False,
    allowed_tools=True,
    audio_input=True,
    midway_instructions=False,
    logprobs=True,
    choices=True,
    seed=True,
    penalties=True,
    top_k=True,
    stops_max=5,
)
"""Of the protocol."""

EFFORTS: Final = ("minimal", "low", "medium", "high", "xhigh", "max")
"""From the least to the most."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one family of models."""

    thinks: bool = True
    levels: tuple[str, ...] = ()
    """Efforts it takes, from the least; empty for one that takes a number of tokens."""
    budget_min: int = 0
    budget_max: int = 32768
    can_stop_thinking: bool = True
    checks_signatures: bool = False
    """Whether it refuses a call of its own that comes back without a signature."""
    media_in_results: bool = True


_PRO_3 = Profile(
    levels=("low", "high"),
    can_stop_thinking=False,
    checks_signatures=True,
)
_PROFILES: Final = (
    (r"gemini-3-pro", _PRO_3),
    (r"gemini-(?:[3-9]|\d\d)[\d.]*-pro", msgspec.structs.replace(_PRO_3, levels=("low", "medium", "high"))),
    (
        r"gemini-(?:[3-9]|\d\d)",
        msgspec.structs.replace(_PRO_3, levels=("minimal", "low", "medium", "high")),
    ),
    (r"gemini-2\.5-pro", Profile(budget_min=128, can_stop_thinking=False, media_in_results=False)),
    (r"gemini-2\.5-flash-lite", Profile(budget_min=512, budget_max=24576, media_in_results=False)),
    (r"gemini-2\.5", Profile(budget_max=24576, media_in_results=False)),
    (r"gemini-(?:1|2\.0)|gemma", Profile(thinks=False, media_in_results=False)),
)
_KNOWN: Final = tuple([(re.compile(pattern), profile) for pattern, profile in _PROFILES])
_UNKNOWN: Final = Profile()


def profile_of(model: str) -> Profile:
    """By the name's beginning, whatever folders are in front of it."""
    name = model.rpartition("/")[2].lower()
    return next((profile for pattern, profile in _KNOWN if pattern.match(name)), _UNKNOWN)


def abilities_of(model: str) -> Abilities:
    """The protocol's, narrowed to the model's."""
    profile = profile_of(model)
    return msgspec.structs.replace(ABILITIES, thinking=profile.thinks, tool_result_media=profile.media_in_results)
