"""The public keys of an issuer, made ready: which key may verify which token. Pure."""

from collections.abc import Iterable, Mapping

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key
from joserfc.util import base64_to_int

from trunkline_gateway.oidc.jwt import ALGORITHMS, NAMES, Header
from trunkline_gateway.oidc.refusals import Fault, Refused
from trunkline_kit.errors import Unavailable
from trunkline_kit.identity import Algorithm

KEYS_MAX = 100
RSA_BITS_MIN, RSA_BITS_MAX = 2048, 8192
"""A weaker key is not used (NIST SP 800-131A rev. 2, table 2); a longer one would take its time with every token."""
_EXPONENT_BITS_MAX = 32
_PUBLIC = ("kty", "kid", "use", "key_ops", "alg", "n", "e", "crv", "x", "y")


class Jwk(msgspec.Struct, frozen=True, omit_defaults=True):
    """The public part of a key as it is published (RFC 7517). Private members are not even read."""

    kty: str
    kid: str | None = None
    use: str | None = None
    key_ops: tuple[str, ...] | None = None
    alg: str | None = None
    n: str | None = None
    e: str | None = None
    crv: str | None = None
    x: str | None = None
    y: str | None = None

    @property
    def is_for_signatures(self) -> bool:
        return self.use in {None, "sig"} and (self.key_ops is None or "verify" in self.key_ops)


class JwkSet(msgspec.Struct, frozen=True):
    """Each key is looked at by itself: one that makes no sense must not take the others down."""

    keys: tuple[msgspec.Raw, ...]


class UnknownKey(Refused):
    """Raised for a key that is not among the published ones: it may have been published since."""


class KeyBook:
    """The keys of one issuer that may verify tokens, by key id and algorithm."""

    def __init__(self, keys: Iterable[tuple[Jwk, Key]], algorithms: Iterable[Algorithm]) -> None:
        self._names = frozenset(name for algorithm in algorithms for name in NAMES[algorithm])
        self._by_kid: dict[tuple[str, str], Key] = {}
        self._by_algorithm: dict[str, list[Key]] = {}
        for jwk, key in keys:
            for name in self._names:
                if not _fits(key, name):
                    continue
                self._by_algorithm.setdefault(name, []).append(key)
                if jwk.kid is not None:
                    self._by_kid.setdefault((jwk.kid, name), key)

    def __len__(self) -> int:
        """How many keys are of use."""
        return len({id(key) for keys in self._by_algorithm.values() for key in keys})

    def find(self, header: Header) -> Key:
        """The key that must have signed a token with this header.

        Raises UnknownKey, and Refused for an algorithm that is not allowed or a token that leaves the choice open.
        """
        if header.alg not in self._names:
            raise Refused(Fault.ALGORITHM, "its algorithm is none that is taken from this issuer")
        if header.kid is not None:
            key = self._by_kid.get((header.kid, header.alg))
            if key is None:
                raise UnknownKey(Fault.KEY, "its issuer publishes no key of this id for its algorithm")
            return key
        keys = self._by_algorithm.get(header.alg, [])
        if not keys:
            raise UnknownKey(Fault.KEY, "its issuer publishes no key for its algorithm")
        if len(keys) > 1:
            # OpenID Connect Core 1.0, §10.1: with several keys, a token has to name its own.
            raise Refused(Fault.KEY, "it names no key (`kid`), and its issuer has several")
        return keys[0]


def read_jwks(data: bytes) -> tuple[tuple[Jwk, Key], ...]:
    """The keys of a JWK Set that can be used for signatures at all. Raises Unavailable for what is no such set.

    None at all is an answer too: so an issuer takes back everything that it has signed.
    """
    try:
        found = _decode_set(data)
    except (ValueError, RecursionError) as error:
        raise Unavailable("the answer is no JWK Set") from error
    if len(found.keys) > KEYS_MAX:
        raise Unavailable(f"the JWK Set has {len(found.keys)} keys, more than {KEYS_MAX}")
    return tuple(pair for raw in found.keys if (pair := _key(raw)) is not None)


def _key(raw: msgspec.Raw) -> tuple[Jwk, Key] | None:
    """None for a key of another kind or purpose: RFC 7517, §5 wants those passed over."""
    try:
        jwk = _decode_key(raw)
        if jwk.kty not in {"RSA", "EC", "OKP"} or not jwk.is_for_signatures or not _is_sane(jwk):
            return None
        return jwk, import_key(_public_members(jwk))
    except (JoseError, ValueError, TypeError, KeyError, RecursionError, UnsupportedAlgorithm):
        return None


def _is_sane(jwk: Jwk) -> bool:
    """Looked at before the library sees it, which warns of short RSA keys and computes with long ones."""
    if jwk.kty != "RSA":
        return True
    if jwk.n is None or jwk.e is None or len(jwk.n) * 6 > 2 * RSA_BITS_MAX:
        return False
    bits = base64_to_int(jwk.n).bit_length()
    return RSA_BITS_MIN <= bits <= RSA_BITS_MAX and base64_to_int(jwk.e).bit_length() <= _EXPONENT_BITS_MAX


def _public_members(jwk: Jwk) -> dict[str, str | list[str]]:
    members: Mapping[str, object] = {name: getattr(jwk, name) for name in _PUBLIC}
    found: dict[str, str | list[str]] = {}
    for name, value in members.items():
        if isinstance(value, str):
            found[name] = value
        elif isinstance(value, tuple):
            found[name] = list(value)
    return found


def _fits(key: Key, algorithm: str) -> bool:
    try:
        ALGORITHMS[algorithm].check_key(key)
    except JoseError:
        return False
    return True


_decode_set = msgspec.json.Decoder(JwkSet).decode
_decode_key = msgspec.json.Decoder(Jwk).decode
