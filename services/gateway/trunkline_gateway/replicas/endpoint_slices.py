"""Replicas as Kubernetes' EndpointSlices tell of them: at once, and with a word for those that are about to end.

A list, then a watch from its version on, over plain HTTPS: the whole protocol is a page, and the official client would
bring threads and a second of imports. Where a watch is not allowed or the API server is away, what was known stays.

Source: Kubernetes API concepts, "Efficient detection of changes"; API reference, EndpointSlice v1 (read 2026-11-25).
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
from msgspec import Struct

from trunkline_kit.errors import ConfigError

log = logging.getLogger(__name__)

SECRETS = Path("/var/run/secrets/kubernetes.io/serviceaccount")
WATCH_S = 240.0
"""After this a watch is begun anew; the API server would end it itself after 5 to 10 minutes."""
PAUSE_S = 2.0
TIMEOUT_S = 10.0
LINE_BYTES = 4 * 1024 * 1024
"""Of one event at most: a slice with all its endpoints."""
_GONE = 410
"""The version to watch from is too old: list again."""
_DOWN = (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError)


class Members(Struct, frozen=True):
    """All replicas of a model."""

    ready: frozenset[str]
    """Addresses, `IP:PORT` or what a channel is opened with."""
    ending: frozenset[str] = frozenset()
    """They still end what they have."""


class Service(Struct, frozen=True):
    """A Service whose endpoints are the replicas."""

    namespace: str
    name: str
    port: str
    """Its number at the pods, or its name."""


class Cluster(Struct, frozen=True):
    """The API server, and who we are there."""

    url: str
    secrets: Path = SECRETS

    def headers(self) -> dict[str, str]:
        """The token is read each time: it is renewed every hour."""
        return {"authorization": f"Bearer {(self.secrets / 'token').read_text().strip()}"}

    def tls(self) -> ssl.SSLContext | bool:
        authority = self.secrets / "ca.crt"
        return ssl.create_default_context(cafile=str(authority)) if authority.exists() else True


def service_of(text: str) -> Service:
    """Of `NAMESPACE/SERVICE:PORT`. Raises ConfigError."""
    place, _, port = text.rpartition(":")
    namespace, separator, name = place.partition("/")
    if not (namespace and separator and name and port) or "/" in name:
        raise ConfigError(f"target 'k8s:///{text}': write k8s:///NAMESPACE/SERVICE:PORT, the port by number or name")
    return Service(namespace, name, port)


def cluster_of(environment: Mapping[str, str]) -> Cluster:
    """The one that this process runs in. Raises ConfigError outside of one."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigError("a target k8s:/// needs a pod in Kubernetes; elsewhere use dns:///NAME:PORT or ipv4:IP:PORT")
    return Cluster(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


class _Meta(Struct, frozen=True, rename="camel"):
    name: str = ""
    resource_version: str = ""


class _Conditions(Struct, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class _Endpoint(Struct, frozen=True):
    addresses: list[str] = []
    conditions: _Conditions = _Conditions()


class _Port(Struct, frozen=True):
    name: str | None = None
    port: int | None = None


class Slice(Struct, frozen=True):
    """One EndpointSlice: up to 100 endpoints of a Service."""

    metadata: _Meta = _Meta()
    endpoints: list[_Endpoint] | None = None
    ports: list[_Port] | None = None
    code: int = 0
    """Of an error in a watch, which comes in a slice's place."""


class _List(Struct, frozen=True):
    metadata: _Meta = _Meta()
    items: list[Slice] | None = None


class _Event(Struct, frozen=True):
    type: str = ""
    object: Slice = Slice()


_decode_list = msgspec.json.Decoder(_List).decode
_decode_event = msgspec.json.Decoder(_Event).decode


class _Endings(NamedTuple):
    address: str
    is_ready: bool


def members_of(slices: Mapping[str, Slice], port: str) -> Members:
    """All endpoints; in two slices at once, as while they are moved, one is ready if it is in either. Pure."""
    found = [one for each in slices.values() for one in _addresses(each, port)]
    ready = frozenset(one.address for one in found if one.is_ready)
    return Members(ready, frozenset(one.address for one in found) - ready)


def _addresses(each: Slice, port: str) -> Iterator[_Endings]:
    numbers = [one.port for one in each.ports or () if one.port is not None and port in (one.name, str(one.port))]
    for endpoint in each.endpoints or ():
        conditions = endpoint.conditions
        # "Unknown" is to be taken for ready, says the reference; a pod that terminates is never ready.
        is_ready = conditions.ready is not False and not conditions.terminating
        if not is_ready and not conditions.terminating:
            continue
        for address in endpoint.addresses[:1]:
            for number in numbers[:1]:
                yield _Endings(f"[{address}]:{number}" if ":" in address else f"{address}:{number}", is_ready)


class EndpointSlices(Struct, frozen=True):
    """The source."""

    service: Service
    cluster: Cluster
    pause_s: float = PAUSE_S

    async def follow(self, tell: Callable[[Members], None]) -> None:
        """Until cancelled. Whatever fails is tried again; nothing is told meanwhile."""
        tls = await asyncio.to_thread(self.cluster.tls)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=WATCH_S + TIMEOUT_S)
        connector = aiohttp.TCPConnector(ssl=tls)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, read_bufsize=LINE_BYTES) as http:
            while True:
                try:
                    await self._from_list_on(http, tell)
                except _DOWN as error:
                    log.warning("endpoints of %s/%s: %r", self.service.namespace, self.service.name, error)
                await asyncio.sleep(self.pause_s)

    async def _from_list_on(self, http: aiohttp.ClientSession, tell: Callable[[Members], None]) -> None:
        """List, then watch until the version is too old. Raises what the client raises."""
        async with http.get(self._url, params=self._params(), headers=await self._headers()) as reply:
            reply.raise_for_status()
            listed = _decode_list(await reply.read())
        slices = {one.metadata.name: one for one in listed.items or ()}
        version: str | None = listed.metadata.resource_version
        tell(members_of(slices, self.service.port))
        while version is not None:
            version = await self._watch(http, version, slices, tell)

    async def _watch(
        self, http: aiohttp.ClientSession, version: str, slices: dict[str, Slice], tell: Callable[[Members], None]
    ) -> str | None:
        """Until it ends; the version to go on from, None where that is not possible."""
        params = self._params(
            watch="1", resourceVersion=version, allowWatchBookmarks="true", timeoutSeconds=str(int(WATCH_S))
        )
        async with http.get(self._url, params=params, headers=await self._headers()) as reply:
            if reply.status == _GONE:
                return None
            reply.raise_for_status()
            async for line in reply.content:
                event = _decode_event(line)
                if event.type == "ERROR":
                    return None
                version = event.object.metadata.resource_version or version
                if event.type == "BOOKMARK":
                    continue
                if event.type == "DELETED":
                    slices.pop(event.object.metadata.name, None)
                else:
                    slices[event.object.metadata.name] = event.object
                tell(members_of(slices, self.service.port))
        return version

    @property
    def _url(self) -> str:
        return f"{self.cluster.url}/apis/discovery.k8s.io/v1/namespaces/{self.service.namespace}/endpointslices"

    async def _headers(self) -> dict[str, str]:
        return await asyncio.to_thread(self.cluster.headers)

    def _params(self, **more: str) -> dict[str, Any]:
        return {"labelSelector": f"kubernetes.io/service-name={self.service.name}", **more}
