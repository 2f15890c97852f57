"""What differs between the families of models behind Bedrock's one API: data, by the model's id.

Sources: AWS, Bedrock User Guide, "Supported models and features for Converse", "Prompt caching" and the inference
parameters of each family (read 2026-11-25). What differs between models of Claude is in `trunkline_kit.profiles`.
"""

import re

import msgspec

from trunkline_gateway.dialects.abilities import Abilities, narrowed
from trunkline_kit.profiles import built_in

ABILITIES = Abilities(
    allowed_tools=True,
    image_urls=False,
    file_urls=False,
    json_object=False,
    top_k=True,
    temperature_max=1.0,
    stops_max=2500,
)
"""Of the protocol, and of Claude behind it."""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """What a family takes beside what Converse has fields for."""

    anthropic_fields: bool = False
    """Whether `thinking` and `tool_choice` in `additionalModelRequestFields` mean what they mean to Anthropic."""
    top_k: tuple[str, ...] = ()
    """Where top-k goes in `additionalModelRequestFields`; nowhere if empty."""
    cache_points: bool = False
    cache_tools: bool = False
    """Whether cache points may also follow tools and have a time to live."""
    result_status: bool = False
    """Whether the result of a tool may say that it is an error."""


CLAUDE = Family(anthropic_fields=True, top_k=("top_k",), cache_points=True, cache_tools=True, result_status=True)
NOVA = Family(top_k=("inferenceConfig", "topK"), cache_points=True, result_status=True)
OTHER = Family()

_FAMILIES = {
    "anthropic": CLAUDE,
    "amazon": NOVA,
    "mistral": Family(top_k=("top_k",)),
    "cohere": Family(top_k=("k",)),
}
_VENDOR = re.compile(r"(?:^|/)(?:[a-z]{2,6}(?:-gov)?\.)?(?P<vendor>[a-z0-9]+)\.[a-z0-9]", re.ASCII)
"""`anthropic.claude-…`, the same after a region (`us.`, `eu.`, `global.`, `us-gov.`), and both at the end of an ARN."""


def family_of(model_id: str) -> Family:
    """What Bedrock does not tell by name, such as an application's inference profile, is taken for Claude.

    It is the commonest, and any other model refuses what is Claude's: nothing is lost without a word.
    """
    found = _VENDOR.search(model_id)
    return CLAUDE if found is None else _FAMILIES.get(found["vendor"], OTHER)


def abilities_of(model_id: str) -> Abilities:
    """What this model can do: its family's, narrowed to what is known of the model by its name."""
    family = family_of(model_id)
    able = msgspec.structs.replace(
        ABILITIES,
        top_k=bool(family.top_k),
        one_tool_at_a_time=family.anthropic_fields,
        thinking_budget=family.anthropic_fields,
    )
    return narrowed(able, built_in(model_id)) if family is CLAUDE else able
