"""Credentials by the shape their issuers gave them.

Only shapes with a prefix or frame of their own are here: such a rule is right nearly always, and a caller can see why
it fired. Passwords without a shape are not found. All rules are one alternation on RE2: time is linear in the text,
whatever the text is. It has no groups, so that even a hit costs a pass of the automaton and no backtracking; which rule
it was, and where inside its context the secret is, is asked of the few characters that matched.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import re2
from msgspec import Struct

Pattern = Any
"""A compiled pattern; the library has no types."""


_START = r"(?:\b|\\[nrt]|%[0-9A-Fa-f]{2})"
"""Before a token: no letter or digit, or a character that was escaped for JSON or a URL."""
_END = r"(?:[^0-9A-Za-z_-]|$)"
"""After a token of fixed length: a longer run of the same letters is something else."""


class Rule(Struct, frozen=True):
    """A kind and its shape; `before` and `after` must surround the secret and are no part of it."""

    kind: str
    secret: str
    before: str = _START
    after: str = ""

    @property
    def whole(self) -> str:
        return f"{self.before}(?:{self.secret}){self.after}"


_BREAK = r"(?:\s|\\[rn])*"
"""Between the lines of a key, also as JSON and shell strings write them."""
_LABEL = r"(?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
_PEM = (
    rf"-----BEGIN {_LABEL}"
    rf"(?:{_BREAK}(?:[0-9A-Za-z+/=]{{16,}}|[A-Z][A-Za-z-]+: [^\n\\]*))*"
    rf"(?:(?:{_BREAK}[0-9A-Za-z+/=]+){{0,2}}{_BREAK}-----END {_LABEL})?"
)
"""The whole block; if its end is missing, what looks like lines of it behind the header. RFC 7468 §2, RFC 1421 §4.6."""

RULES = (
    Rule("private-key", _PEM, before=""),
    Rule("aws-access-key", "(?:AKIA|ASIA)[A-Z2-7]{16}", after=_END),
    Rule(
        "aws-secret-key",
        "[0-9A-Za-z/+]{40}",
        before=r"""(?i:aws_?secret_?(?:access_?)?key)["']?\s*[:=]\s*["']?""",
        after="(?:[^0-9A-Za-z/+]|$)",
    ),
    Rule("github-token", "gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{40,}"),
    Rule("gitlab-token", "glpat-[0-9A-Za-z_-]{20,}"),
    Rule("slack-token", "xox[abeoprs]-[0-9]+-[0-9A-Za-z-]{10,}|xapp-[0-9]-[0-9A-Za-z-]{20,}"),
    Rule("slack-webhook", r"https://hooks\.slack\.com/(?:services|workflows)/[0-9A-Za-z+/]{20,}"),
    Rule("anthropic-key", "sk-ant-[a-z]+[0-9]{2}-[0-9A-Za-z_-]{20,}"),
    Rule("openai-key", "sk-(?:proj|svcacct|admin)-[0-9A-Za-z_-]{40,}|sk-[0-9A-Za-z]{20}T3BlbkFJ[0-9A-Za-z]{20}"),
    Rule("trunkline-key", "tl-[0-9A-Za-z_-]{32,}"),
    Rule("google-api-key", "AIza[0-9A-Za-z_-]{35}", after=_END),
    Rule("stripe-key", "[rs]k_(?:live|test)_[0-9A-Za-z]{16,}"),
    Rule("huggingface-token", "hf_[0-9A-Za-z]{34}", after=_END),
    Rule("npm-token", "npm_[0-9A-Za-z]{36}", after=_END),
    Rule("pypi-token", "pypi-AgEIcHlwaS5vcmc[0-9A-Za-z_-]{40,}"),
    Rule("sendgrid-key", r"SG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43}", after=_END),
    Rule("jwt", r"eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{16,}"),
)
"""Formats are from the issuers' own documentation: AWS IAM "unique identifiers", GitHub "token formats", GitLab "token
overview", Slack "token types", Stripe "API keys", Google Cloud "API keys", RFC 7519 for JWT; the others as seen in keys
that their issuers hand out. Where two rules begin at one place, the earlier one names the kind."""


class Match(Struct, frozen=True):
    """Where something was found; never what. Offsets in code points, the end exclusive."""

    kind: str
    start_chars: int
    end_chars: int


class _Compiled(Struct, frozen=True):
    """One rule, ready to say whether a match is its own and where in it the secret lies."""

    kind: str
    whole: Pattern
    before: Pattern
    secret: Pattern


class SecretsDetector:
    """All rules, compiled once. Holds no state between texts; many threads may use one."""

    def __init__(self) -> None:
        self._any = re2.compile("|".join(rule.whole for rule in RULES))
        self._rules = [
            _Compiled(rule.kind, re2.compile(rule.whole), re2.compile(rule.before), re2.compile(rule.secret))
            for rule in RULES
        ]
        self._which = re2.Set.MatchSet()
        for rule in RULES:
            self._which.Add(rule.whole)
        self._which.Compile()

    def scan(self, text: str, limit: int) -> list[Match]:
        """The first `limit` secrets of `text`, in order, not overlapping."""
        return list(islice(self._matches(text), limit))

    def _matches(self, text: str) -> Iterator[Match]:
        for found in self._any.finditer(text):
            start, end = found.span()
            yield self._locate(text[start:end], start)

    def _locate(self, piece: str, start_chars: int) -> Match:
        # A set finds all rules in one pass, but has nothing to fall back on: out of memory, it says that none matches.
        indices = self._which.Match(piece)
        rule = self._rules[min(indices)] if indices else next(rule for rule in self._rules if rule.whole.match(piece))
        skipped = rule.before.match(piece).end()
        length = rule.secret.match(piece[skipped:]).end()
        return Match(rule.kind, start_chars + skipped, start_chars + skipped + length)
