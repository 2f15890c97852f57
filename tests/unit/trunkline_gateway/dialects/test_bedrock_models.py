import pytest

from trunkline_gateway.dialects.bedrock_models import CLAUDE, NOVA, OTHER, abilities_of, family_of

ARN = "arn:aws:bedrock:us-east-1"


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", CLAUDE),
        ("eu.anthropic.claude-opus-4-6-v1", CLAUDE),
        ("global.anthropic.claude-opus-4-6-v1", CLAUDE),
        ("us-gov.anthropic.claude-x-v1:0", CLAUDE),
        (f"{ARN}::foundation-model/anthropic.claude-x-v1:0", CLAUDE),
        (f"{ARN}:123456789012:inference-profile/us.amazon.nova-lite-v1:0", NOVA),
        (f"{ARN}:123456789012:application-inference-profile/abc123", CLAUDE),
        ("amazon.nova-micro-v1:0", NOVA),
        ("meta.llama3-1-8b-instruct-v1:0", OTHER),
        ("openai.gpt-oss-120b-1:0", OTHER),
        ("deepseek.r1-v1:0", OTHER),
        ("a-name", CLAUDE),
    ],
)
def test_families(model, family):
    assert family_of(model) is family


@pytest.mark.parametrize(
    ("model", "thinking", "budget", "effort"),
    [
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", False, True, True),
        ("anthropic.claude-v2:1", False, True, True),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", True, True, False),
        ("anthropic.claude-sonnet-4-20250514-v1:0", True, True, False),
        ("anthropic.claude-opus-4-1-20250805-v1:0", True, True, False),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", True, True, False),
        ("anthropic.claude-opus-4-5-20251101-v1:0", True, True, False),
        ("anthropic.claude-opus-4-6-v1", True, True, True),
        ("anthropic.claude-opus-4-7-v1", True, False, True),
        ("amazon.nova-2-lite-v1:0", True, False, True),
    ],
)
def test_who_thinks_how(model, thinking, budget, effort):
    found = abilities_of(model)
    assert found.thinking is thinking
    assert not thinking or (found.thinking_budget, found.thinking_effort) == (budget, effort)
