"""The key and the pepper that `trunkline up` makes for its owner: once, readable by its owner only."""

import hashlib
import os
import re
import secrets
from pathlib import Path

from msgspec import Struct

from trunkline_kit.errors import ConfigError
from trunkline_kit.secrets import Secret

PREFIX = "tl-"
_SECRET_BYTES = 32
_PEPPER_CHARS_MIN = 32
_FORM = re.compile(r"tl-[A-Za-z0-9_-]{43}", re.ASCII)


class OwnerKey(Struct, frozen=True):
    """The key and whether this start made it: only then may it be shown."""

    secret: Secret
    is_new: bool

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.secret.reveal().encode()).digest()


def ensure_key(path: Path) -> OwnerKey:
    """Read the key, or make one. Raises ConfigError for a file that holds something else."""
    try:
        return OwnerKey(_read(path), is_new=False)
    except FileNotFoundError:
        key = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        _write(path, key)
        return OwnerKey(Secret(key), is_new=True)


def ensure_pepper(path: Path) -> Secret:
    """Read the secret that keys made at run time are hashed under, or make one. Raises ConfigError.

    Losing it means that no such key works any more.
    """
    try:
        text = path.read_text(errors="replace").strip()
    except FileNotFoundError:
        pepper = secrets.token_urlsafe(_SECRET_BYTES)
        _write(path, pepper)
        return Secret(pepper)
    if len(text) < _PEPPER_CHARS_MIN:
        raise ConfigError(f"{path} holds no pepper; put the old file back, or delete it and make all keys anew")
    return Secret(text)


def _read(path: Path) -> Secret:
    text = path.read_text(errors="replace").strip()
    if _FORM.fullmatch(text) is None:
        raise ConfigError(f"{path} holds no key; delete it and the next start makes a new one")
    path.chmod(0o600)
    return Secret(text)


def _write(path: Path, key: str) -> None:
    """Appears whole or not at all, and never in place of another: a killed start leaves no half key."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        draft.unlink()
