"""From findings to verdicts, and the law of redaction: what was found is gone, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_guardrails.detectors.secrets import SecretsDetector
from trunkline_guardrails.policy import Action, ActiveCheck, ActivePolicy
from trunkline_guardrails.verdict import Part, check_input

DETECTOR = SecretsDetector()
TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zAabcd"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"


def policy(action):
    return ActivePolicy("p", (ActiveCheck("secrets", action),))


def check(action, *texts, limit=100):
    parts = [Part(f"/messages/{index}/content", text) for index, text in enumerate(texts)]
    return check_input(policy(action), parts, DETECTOR, limit)


def redacted(text, redactions):
    for redaction in reversed(redactions):
        text = text[: redaction.start_chars] + redaction.replacement + text[redaction.end_chars :]
    return text


@pytest.mark.parametrize("action", [Action.FLAG, Action.REDACT, Action.BLOCK])
def test_a_finding_leads_to_what_the_policy_says(action):
    verdict = check(action, "nothing", f"my key: {TOKEN}")
    assert verdict.action is action
    (finding,) = verdict.findings
    assert (finding.check, finding.kind, finding.path) == ("secrets", "github-token", "/messages/1/content")
    assert (finding.start_chars, finding.end_chars, finding.action) == (8, 8 + len(TOKEN), action)
    assert len(verdict.redactions) == (action is Action.REDACT)
    assert TOKEN not in repr(verdict)


def test_clean_text_is_allowed_and_was_looked_at():
    verdict = check(Action.BLOCK, "Größe", "b")
    assert (verdict.action, verdict.findings, verdict.redactions) == (Action.ALLOW, (), ())
    assert verdict.scanned_bytes == len("Größe".encode()) + 1


def test_a_policy_without_checks_looks_at_nothing():
    verdict = check_input(ActivePolicy("p", ()), [Part("/a", TOKEN)], DETECTOR, 100)
    assert (verdict.action, verdict.findings, verdict.scanned_bytes) == (Action.ALLOW, (), 0)


@pytest.mark.parametrize(
    ("action", "expected"),
    [(Action.FLAG, Action.FLAG), (Action.REDACT, Action.BLOCK), (Action.BLOCK, Action.BLOCK)],
)
@pytest.mark.parametrize("texts", [(f"{TOKEN} " * 9,), (TOKEN,) * 9])
def test_what_is_past_the_bound_is_never_let_through_as_redacted(action, expected, texts):
    verdict = check(action, *texts, limit=3)
    assert verdict.action is expected
    assert [finding.kind for finding in verdict.findings] == ["github-token"] * 3 + ["too-many"]
    assert verdict.redactions == ()


def test_exactly_the_bound_is_not_too_many():
    verdict = check(Action.REDACT, f"{TOKEN} " * 3, limit=3)
    assert verdict.action is Action.REDACT
    assert len(verdict.redactions) == 3


words = st.text(st.characters(codec="utf-8"), max_size=20)
secrets = st.sampled_from([("github-token", TOKEN), ("aws-access-key", AWS)])


@given(st.lists(st.lists(st.tuples(words, secrets), max_size=3), min_size=1, max_size=3))
def test_redaction_takes_out_the_secrets_and_nothing_else(parts):
    texts = ["".join(f"{before} {secret} " for before, (_, secret) in part) for part in parts]
    verdict = check(Action.REDACT, *texts)
    for index, (part, text) in enumerate(zip(parts, texts, strict=True)):
        path = f"/messages/{index}/content"
        clean = redacted(text, [item for item in verdict.redactions if item.path == path])
        assert clean == "".join(f"{before} [{kind}] " for before, (kind, _) in part)
        assert check(Action.BLOCK, clean).action is Action.ALLOW
