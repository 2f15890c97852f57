"""Takes what looks like a secret out of text on its way to a log. Pure."""

import re
from collections.abc import Iterator

REDACTED = "[redacted]"

_KEY = r"(?:(?<![A-Za-z])|(?<=\\[nrt]))(?:tl|sk|pk|rk|xoxb|ghp|gho|glpat|hf|AKIA)[-_][A-Za-z0-9_\-./+=]{6,}"
"""Keys that carry a prefix: ours (`tl-`), OpenAI and Anthropic (`sk-`), and the kinds most often pasted by mistake.

Not inside a word (`disk-usage`), but after the `\\n` of a string that was escaped.
"""
_BEARER = r"(?i:\b(?:bearer|basic)\s+)[^\s,;\"'}\]]+"
_JWT = r"eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]*)?"
_URL_LOGIN = r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"
_NAMED_VALUE = (
    r"(?i:(?:authorization|api[-_ ]?key|access[-_]?token|secret|password|passwd|cookie)[\"']?\s*[:=]\s*)"
    r"(?:\"[^\"]*\"?|'[^']*'?|(?i:(?:bearer|basic)\s+)?[^\s,;\"'}\]]+)"
)
_SECRET = re.compile(f"{_NAMED_VALUE}|{_BEARER}|{_KEY}|{_JWT}|{_URL_LOGIN}")

_NAMES = ("authorization", "apikey", "accesstoken", "secret", "password", "passwd", "cookie", "credential")


def redact(text: str) -> str:
    """`text` with every part that looks like a secret replaced. Doing it twice changes nothing more."""
    return _SECRET.sub(REDACTED, text)


def is_secret_name(name: str) -> bool:
    """Whether a field of that name is hidden whatever its value: `Authorization`, `x-api-key`, `client_secret`."""
    plain = "".join(_letters(name))
    return any(secret in plain for secret in _NAMES)


def _letters(name: str) -> Iterator[str]:
    return (character for character in name.lower() if character.isalnum())
