"""Where the replicas of a model are: listed, behind a headless name, or in Kubernetes' EndpointSlices.

A source tells all members each time that they change, until it is cancelled. It never tells fewer because it cannot
find out: an outage of DNS or of the API server must not take replicas away that answer.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Protocol

from msgspec import Struct

from trunkline_gateway.replicas.endpoint_slices import EndpointSlices, Members, cluster_of, service_of

log = logging.getLogger(__name__)

DNS, IPV4, K8S = "dns:///", "ipv4:", "k8s:///"
DNS_EVERY_S = 5.0
"""As often as the gRPC library would: kube-dns keeps answers for as long by default."""
MEMBERS_MAX = 256
"""Replicas of one model, each with a connection; more are left out, with a warning."""

Tell = Callable[[Members], None]
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Addresses of a host as `IP:PORT`. Raises OSError."""


class Source(Protocol):
    """Who the replicas are."""

    async def follow(self, tell: Tell) -> None:
        """Tell the members now and whenever they change; returns when they never will."""


class Listed(Struct, frozen=True):
    """Always the same."""

    addresses: tuple[str, ...]

    async def follow(self, tell: Tell) -> None:
        tell(Members(frozenset(self.addresses)))


class Named(Struct, frozen=True):
    """All addresses of a name, looked up again and again."""

    host: str
    port: int
    resolve: Resolve
    every_s: float = DNS_EVERY_S

    async def follow(self, tell: Tell) -> None:
        before = None
        while True:
            try:
                found = frozenset(await self.resolve(self.host, self.port))
            except OSError as error:
                # Nobody behind it looks the same as no answer: those that are gone will be found out by themselves.
                log.warning("replicas of %s: %s", self.host, error)
                if before is None:
                    tell(Members(frozenset()))
            else:
                if found != before:
                    before = found
                    tell(Members(bounded(found, self.host)))
            await asyncio.sleep(self.every_s)


def bounded(addresses: frozenset[str], name: str) -> frozenset[str]:
    """At most `MEMBERS_MAX` of them, always the same ones."""
    if len(addresses) <= MEMBERS_MAX:
        return addresses
    log.warning("%s has %d replicas; only %d are used", name, len(addresses), MEMBERS_MAX)
    return frozenset(sorted(addresses)[:MEMBERS_MAX])


async def look_up(host: str, port: int) -> list[str]:
    """By the machine's resolver, in a thread."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [address_of(str(entry[4][0]), port) for entry in found]


def address_of(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def dialled(address: str) -> str:
    """The gRPC target of one member: an address is dialled as it is, never looked up."""
    if address.startswith("["):
        return f"ipv6:{address}"
    host = address.rpartition(":")[0]
    try:
        ip_address(host)
    except ValueError:
        return address
    return f"{IPV4}{address}"


def source_of(target: str, environment: Mapping[str, str], resolve: Resolve = look_up) -> Source:
    """Of a target as the configuration has it. Raises ConfigError for `k8s:///` outside a cluster."""
    if target.startswith(K8S):
        return EndpointSlices(service_of(target.removeprefix(K8S)), cluster_of(environment))
    if target.startswith(IPV4):
        return Listed(tuple(target.removeprefix(IPV4).split(",")))
    if not target.startswith(DNS):
        return Listed((target,))
    host, _, port = target.removeprefix(DNS).rpartition(":")
    if not host or not port.isdecimal() or host.startswith("[") or "/" in host:
        # An authority, or no port: the gRPC library's business, as one channel.
        return Listed((target,))
    try:
        return Listed((address_of(str(ip_address(host)), int(port)),))
    except ValueError:
        return Named(host, int(port), resolve)
