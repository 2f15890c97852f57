"""Secrets by reference: `env:NAME` and `file:/path`. A resolved secret never shows in `repr`, logs or errors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from trunkline_kit.errors import ConfigError

Reference = Annotated[str, Meta(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$")]
"""`env:NAME` or `file:/path`: where a secret is, never the secret."""


class Secret:
    """A value that must not be seen. `reveal()` is the one way to it, so that every use can be found."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value, for the wire only."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))


def is_reference(text: str) -> bool:
    """Whether `text` names a place instead of being the value."""
    return text.startswith(("env:", "file:"))


def resolve(reference: str, environment: Mapping[str, str]) -> Secret:
    """Fetch what `reference` names; text that is no reference is its own value.

    Raises ConfigError with the reference, never the value.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = environment.get(name, "")
        if not value:
            raise ConfigError(f"{reference} is not set; export {name} or change the reference")
        return Secret(value)
    if kind == "file":
        return Secret(_read(reference, Path(name)))
    return Secret(reference)


def _read(reference: str, path: Path) -> str:
    try:
        value = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigError(f"{reference} cannot be read: {cause}; check the path and its permissions") from error
    if not value:
        raise ConfigError(f"{reference} is empty; write the secret into it")
    return value
