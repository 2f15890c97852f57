"""A token's form and its signature. Pure.

Which key and which algorithm may verify a token is decided here and in `keys`, before the signature is looked at: the
token's own header can only choose among what the configuration and the issuer's published keys allow.
"""

import re

import msgspec
from joserfc.errors import JoseError
from joserfc.jwa import JWS_ALGORITHMS, JWSAlgModel
from joserfc.jwk import Key
from joserfc.util import urlsafe_b64decode

from trunkline_gateway.oidc.refusals import Fault, Refused
from trunkline_kit.identity import Algorithm

TOKEN_BYTES_MAX = 8192
KID_CHARS_MAX = 512
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""Of tokens that say who somebody is; others (logout tokens, security events) are signed with the same keys, but say
other things. Source: RFC 8725, §3.11; RFC 9068, §2.1."""

NAMES: dict[Algorithm, tuple[str, ...]] = {
    **{algorithm: (algorithm.value,) for algorithm in Algorithm},
    Algorithm.EDDSA: ("EdDSA", "Ed25519"),
}
"""What the header says of each. RFC 9864 gives EdDSA over Ed25519 a name of its own, which newer issuers use."""


class Header(msgspec.Struct, frozen=True):
    """What of a token's header matters. `jku`, `jwk`, `x5u` and `x5c` are not even read: they bring keys along."""

    alg: str
    kid: str | None = None
    typ: str | None = None
    crit: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    b64: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    zip: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Unverified(msgspec.Struct, frozen=True):
    """A token in parts. Nobody knows yet who wrote it."""

    header: Header
    payload: bytes
    """JSON."""
    signed: bytes
    """What the signature is of."""
    signature: bytes

    def __repr__(self) -> str:
        return f"Unverified({self.header.alg}, …)"


def looks_like_token(text: str) -> bool:
    """Whether it has a signed token's form: three segments of base64url with dots between. No more than a look."""
    return _FORM.fullmatch(text) is not None


def parse(token: str) -> Unverified:
    """Raises Refused for what is no signed JWT, or one that wants to be treated in a way we do not know."""
    if len(token) > TOKEN_BYTES_MAX:
        raise Refused(Fault.MALFORMED, f"it is longer than {TOKEN_BYTES_MAX} bytes")
    if not looks_like_token(token):
        raise Refused(Fault.MALFORMED, "it is no signed JWT: three segments of base64url with dots between")
    head, payload, signature = (part.encode() for part in token.split("."))
    try:
        header = _decode_header(urlsafe_b64decode(head))
        unverified = Unverified(header, urlsafe_b64decode(payload), head + b"." + payload, urlsafe_b64decode(signature))
    except (ValueError, RecursionError) as error:
        raise Refused(Fault.MALFORMED, "its segments are not base64url, or its header is not that of a JWT") from error
    _check(header)
    return unverified


def verify(unverified: Unverified, key: Key) -> None:
    """Raises Refused unless `key` has signed it, with an algorithm of that key's kind."""
    algorithm = ALGORITHMS.get(unverified.header.alg)
    if algorithm is None:
        raise Refused(Fault.ALGORITHM, "its algorithm is none that this gateway takes")
    try:
        algorithm.check_key(key)
        good = algorithm.verify(unverified.signed, unverified.signature, key)
    except (JoseError, ValueError) as error:
        raise Refused(Fault.KEY, "the key that it names is not one for its algorithm") from error
    if not good:
        raise Refused(Fault.SIGNATURE, "its signature is wrong")


def _check(header: Header) -> None:
    if any(value is not msgspec.UNSET for value in (header.crit, header.b64, header.zip)):
        raise Refused(Fault.MALFORMED, "its header asks for an extension that this gateway does not know")
    if header.typ is not None and header.typ.lower() not in _TYPES:
        raise Refused(Fault.MALFORMED, "it is of another type (`typ`) than JWT or at+jwt")
    if header.kid is not None and len(header.kid) > KID_CHARS_MAX:
        raise Refused(Fault.MALFORMED, "its key id is far too long")


_decode_header = msgspec.json.Decoder(Header).decode

ALGORITHMS: dict[str, JWSAlgModel] = {
    found.name: found for found in JWS_ALGORITHMS if any(found.name in names for names in NAMES.values())
}
"""The library's implementations, and only those of our enumeration: nothing symmetric, no `none`."""
