"""From findings to a verdict: the strictest action, and the replacements that make a text clean. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from trunkline_guardrails.detectors.secrets import SecretsDetector
from trunkline_guardrails.policy import SECRETS, Action, ActivePolicy

TOO_MANY = "too-many"
"""Kind of the finding that says: there were more than the bound, and what is behind it was not looked at."""


class Part(Struct, frozen=True):
    """A piece of the request."""

    path: str
    """JSON pointer into the body."""
    text: str


class Finding(Struct, frozen=True, kw_only=True):
    """An objection. Never holds the text that was found."""

    check: str
    kind: str
    action: Action
    path: str
    start_chars: int
    end_chars: int


class Redaction(Struct, frozen=True):
    """Put `replacement` in place of these code points."""

    path: str
    start_chars: int
    end_chars: int
    replacement: str


class Verdict(Struct, frozen=True, kw_only=True):
    """What to do with a request, and why."""

    action: Action
    findings: tuple[Finding, ...] = ()
    redactions: tuple[Redaction, ...] = ()
    """Only with REDACT: in the order of the parts, not overlapping."""
    scanned_bytes: int = 0


def check_input(policy: ActivePolicy, parts: Sequence[Part], detector: SecretsDetector, limit: int) -> Verdict:
    """Run the policy's checks over all parts. Looks at every role: a secret leaks from a tool's output too."""
    if not policy.input:
        return Verdict(action=Action.ALLOW)
    on_fail = next(check.on_fail for check in policy.input if check.check == SECRETS)
    findings: list[Finding] = []
    for part in parts:
        # One more than the bound, so that reaching it and passing it are told apart.
        for match in detector.scan(part.text, limit + 1 - len(findings)):
            found = Finding(
                check=SECRETS,
                kind=match.kind,
                action=on_fail,
                path=part.path,
                start_chars=match.start_chars,
                end_chars=match.end_chars,
            )
            findings.append(found)
        if len(findings) > limit:
            break
    return verdict_of(_bounded(findings, limit), sum(len(part.text.encode()) for part in parts))


def verdict_of(findings: Sequence[Finding], scanned_bytes: int) -> Verdict:
    """The strictest action wins; redactions are worked out only where they are what is wanted."""
    action = max((finding.action for finding in findings), default=Action.ALLOW)
    redactions = [
        Redaction(finding.path, finding.start_chars, finding.end_chars, f"[{finding.kind}]")
        for finding in findings
        if finding.action is Action.REDACT
    ]
    return Verdict(
        action=action,
        findings=tuple(findings),
        redactions=tuple(redactions) if action is Action.REDACT else (),
        scanned_bytes=scanned_bytes,
    )


def _bounded(findings: list[Finding], limit: int) -> list[Finding]:
    """At most `limit`, and one that says so. What cannot be redacted as a whole is blocked."""
    if len(findings) <= limit:
        return findings
    cut = findings[limit]
    action = Action.BLOCK if cut.action is Action.REDACT else cut.action
    surplus = Finding(
        check=cut.check,
        kind=TOO_MANY,
        action=action,
        path=cut.path,
        start_chars=cut.start_chars,
        end_chars=cut.end_chars,
    )
    return [*findings[:limit], surplus]
