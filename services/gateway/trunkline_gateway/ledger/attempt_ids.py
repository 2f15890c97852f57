"""Ids of attempts: UUIDv7, so that they sort by the moment they were made. Source: RFC 9562, section 5.7."""

import os
from uuid import UUID

_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62
_RAND_A_MASK = (1 << 12) - 1
_RAND_B_MASK = (1 << 62) - 1


def attempt_id(now_s: float) -> UUID:
    """A new id for this moment."""
    return uuid7(int(now_s * 1000), int.from_bytes(os.urandom(10)))


def uuid7(now_ms: int, random: int) -> UUID:
    """The id with these 48 bits of time and these random bits, of which 74 are used."""
    rand_a = (random >> 62) & _RAND_A_MASK
    time_ms = now_ms & ((1 << 48) - 1)
    return UUID(int=(time_ms << 80) | _VERSION | (rand_a << 64) | _VARIANT | (random & _RAND_B_MASK))
