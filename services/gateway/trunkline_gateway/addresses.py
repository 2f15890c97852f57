"""Where a request comes from: the connection's own address, or what a proxy that is trusted says of it."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from trunkline_kit.errors import ConfigError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
_HOPS_MAX = 32


def networks_of(texts: Iterable[str], place: str) -> tuple[Network, ...]:
    """Raises ConfigError that begins with `place` for a text that is no network. Bits of the host may be set."""
    found = []
    for text in texts:
        try:
            found.append(ip_network(text, strict=False))
        except ValueError as error:
            wrong = f"{place}: {text!r} is no network; write it such as 10.0.0.0/8 or 2001:db8::/32"
            raise ConfigError(wrong) from error
    return tuple(found)


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether `address` is in one of them. One that is none (a socket of this machine) is in none."""
    found = _parsed(address)
    return found is not None and any(found.version == one.version and found in one for one in networks)


def caller_address(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """The nearest address on the way that is no trusted proxy; empty where a trusted proxy heard who knows whom.

    `forwarded` is `x-forwarded-for`: each proxy appends whom it heard, so the list is read from its end, and only as
    far as the proxies are ours: what is further left was written by whoever likes to.
    """
    if not trusted or not forwarded or not is_within(peer, trusted):
        return peer
    nearest = peer
    for hop in reversed(forwarded.split(",")[-_HOPS_MAX:]):
        heard = _parsed(_bare(hop.strip()))
        if heard is None:
            # Whoever it is, it is not the proxy that says so.
            return ""
        nearest = str(heard)
        if not is_within(nearest, trusted):
            return nearest
    return nearest


def _bare(hop: str) -> str:
    """Without the port and the brackets that some proxies write: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Address | None:
    """IPv4 inside IPv6 is IPv4."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
