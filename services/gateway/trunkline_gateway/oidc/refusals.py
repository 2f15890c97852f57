"""Why a token is not taken: a closed set, for people, metrics and tests."""

from enum import Enum

from trunkline_kit.errors import Unauthenticated

_CHALLENGE = (("www-authenticate", 'Bearer error="invalid_token"'),)
"""Source: RFC 6750, §3."""


class Fault(Enum):
    """The value is the label of the metric."""

    MALFORMED = "malformed"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    ALGORITHM = "algorithm"
    KEY = "key"
    SIGNATURE = "signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    CLAIMS = "claims"
    BOUND = "bound"


class Refused(Exception):
    """Raised by the rules. The detail never holds any of the token."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault

    def error(self) -> Unauthenticated:
        """What the caller is told."""
        return Unauthenticated(f"the token is not accepted: {self}", headers=_CHALLENGE)
