"""What is kept of a virtual key: a hash under a secret of the gateway's own, the pepper.

Keys have 256 random bits, so a hash of them cannot be guessed backwards; the pepper makes a stolen table of hashes
useless for checking guesses as well, and keeps whoever can write to the table from letting in a key of their own
choosing. The hash is of the key's SHA-256, so that a `sha256:` in the configuration and a key that is sent meet.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from trunkline_gateway.directory.objects import NewSecret
from trunkline_kit.errors import ConfigError
from trunkline_kit.secrets import Secret

PREFIX = "tl-"
_SECRET_BYTES = 32
_PEPPER_CHARS_MIN = 32
_PEPPER_ID_CHARS = 12


class Hasher:
    """Hashes keys under the pepper in force, and under those before it.

    Raises ConfigError for a pepper that is too short to be a secret.
    """

    def __init__(self, peppers: Sequence[Secret] = ()) -> None:
        for pepper in peppers:
            if len(pepper.reveal()) < _PEPPER_CHARS_MIN:
                text = f"identity.pepper must have at least {_PEPPER_CHARS_MIN} characters; try `openssl rand -hex 32`"
                raise ConfigError(text)
        self._peppers = tuple(pepper.reveal().encode() for pepper in peppers)
        # Without one, hashes are only ever compared inside this process.
        self._current = self._peppers[0] if self._peppers else secrets.token_bytes(_SECRET_BYTES)
        self._all = self._peppers or (self._current,)

    @property
    def can_make(self) -> bool:
        """Whether hashes made now are of use after a restart, and to other gateways."""
        return bool(self._peppers)

    def of_sha256(self, sha256: bytes) -> bytes:
        """What is kept of a key with this SHA-256. 32 bytes."""
        return hmac.digest(self._current, sha256, "sha256")

    def candidates(self, key: str) -> tuple[bytes, ...]:
        """Every hash that this key may be known by: one for each pepper."""
        sha256 = sha256_of(key)
        return tuple(hmac.digest(pepper, sha256, "sha256") for pepper in self._all)

    def new_secret(self) -> tuple[Secret, NewSecret]:
        """A new key, to be shown once, and what is kept of it. Raises ConfigError without a pepper."""
        if not self.can_make:
            raise ConfigError(
                "keys cannot be made at run time without identity.pepper; set it to a reference to a secret of 32"
                " characters or more, the same for all gateways"
            )
        key = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        pepper_id = hashlib.sha256(b"trunkline pepper id " + self._current).hexdigest()[:_PEPPER_ID_CHARS]
        kept = NewSecret(digest=self.of_sha256(sha256_of(key)), pepper_id=pepper_id, last_four=key[-4:])
        return Secret(key), kept


def sha256_of(key: str) -> bytes:
    """Of the key as it is sent."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
