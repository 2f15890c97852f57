"""The key ring of a configuration and a directory."""

import math
from collections.abc import Container, Iterable, Iterator, Mapping

from msgspec import Struct, structs

from trunkline_gateway.addresses import networks_of
from trunkline_gateway.auth import ALL_SCOPES, Entry, KeyRing, Principal, key_ring
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.directory.objects import KnownSecret
from trunkline_gateway.hashing import Hasher, sha256_of
from trunkline_gateway.tenancy import Tenants
from trunkline_kit.errors import ConfigError
from trunkline_kit.secrets import resolve
from trunkline_kit.tenants import KeySpec, Team

_SHA256 = "sha256:"
_NO_TEAM = Team()


class Principals:
    """Makes principals of keys, and keeps those whose key and team are as they were.

    A change of one key among many thousands must not make all of them anew.
    """

    def __init__(self) -> None:
        self._made: dict[str, tuple[KeySpec, Team, Principal]] = {}

    def of(self, tenants: Tenants) -> dict[str, Principal]:
        """By key id. Raises ConfigError for networks that are none."""
        made: dict[str, tuple[KeySpec, Team, Principal]] = {}
        for key_id, spec in tenants.keys.items():
            team = tenants.teams.get(spec.team, _NO_TEAM)
            known = self._made.get(key_id)
            if known is not None and known[0] is spec and known[1] is team:
                made[key_id] = known
            else:
                made[key_id] = (spec, team, principal_of(key_id, spec, team))
        self._made = made
        return {key_id: principal for key_id, (_, _, principal) in made.items()}


class DeclaredSecret(Struct, frozen=True, kw_only=True):
    """A secret of a key of the file, as it is known."""

    key_id: str
    digest: bytes
    until_s: float = math.inf
    is_owners: bool = False
    """Whether its key may do everything: that of whoever runs everything on this machine."""


def declared_secrets(
    config: GatewayConfig, hasher: Hasher, environment: Mapping[str, str]
) -> tuple[DeclaredSecret, ...]:
    """Once for a configuration: a file that goes away later must stop no key, and no change of others.

    Raises ConfigError for secrets that are not there and ids that are there twice. Reads files: not for the event loop.
    """
    ids: set[str] = set()
    for key_id in (*(key.id for key in config.keys), *(extra.id for extra in config.extra_keys)):
        if key_id in ids:
            raise ConfigError(f"keys: the id {key_id!r} is there twice; ids must differ")
        ids.add(key_id)
    return tuple(_declared(config, hasher, environment))


def ring_of(
    principals: Mapping[str, Principal],
    declared: Iterable[DeclaredSecret],
    stored: Iterable[KnownSecret],
    hasher: Hasher,
) -> KeyRing:
    """Raises ConfigError for two of the file's keys with one secret."""
    declared = tuple(declared)
    ids = frozenset(secret.key_id for secret in declared)
    entries = (
        (
            secret.digest,
            Entry(
                structs.replace(principals[secret.key_id], scopes=ALL_SCOPES)
                if secret.is_owners
                else principals[secret.key_id],
                secret.until_s,
            ),
        )
        for secret in declared
    )
    return key_ring((*entries, *_stored(ids, stored, principals)), hasher)


def principal_of(key_id: str, spec: KeySpec, team: Team) -> Principal:
    """Raises ConfigError for networks that are none."""
    return Principal(
        key_id=key_id,
        team=spec.team,
        org=team.org,
        project=spec.project or "",
        models=spec.models,
        policy=spec.policy,
        scopes=frozenset(spec.scopes),
        tags=spec.tags,
        disabled=spec.disabled,
        expires_s=spec.expires_at.timestamp() if spec.expires_at is not None else math.inf,
        networks=networks_of(spec.networks, f"keys: {key_id!r}: networks"),
        priority=spec.priority,
        weight=team.weight,
        queue_wait_s=spec.queue_wait_s,
    )


def _declared(config: GatewayConfig, hasher: Hasher, environment: Mapping[str, str]) -> Iterator[DeclaredSecret]:
    for key in config.keys:
        yield DeclaredSecret(key_id=key.id, digest=hasher.of_sha256(_sha256(key.secret, environment)))
        if key.previous is not None:
            digest = hasher.of_sha256(_sha256(key.previous.secret, environment))
            yield DeclaredSecret(key_id=key.id, digest=digest, until_s=key.previous.until.timestamp())
    for extra in config.extra_keys:
        yield DeclaredSecret(key_id=extra.id, digest=hasher.of_sha256(extra.sha256), is_owners=True)


def _stored(
    declared: Container[str], secrets: Iterable[KnownSecret], principals: Mapping[str, Principal]
) -> Iterator[tuple[bytes, Entry]]:
    """One whose id is also declared counts no more: the file's key has taken its place."""
    for secret in secrets:
        principal = principals.get(secret.key_id)
        if principal is not None and secret.key_id not in declared:
            until_s = secret.expires_at.timestamp() if secret.expires_at is not None else math.inf
            yield secret.digest, Entry(principal, until_s, stored=True)


def _sha256(secret: str, environment: Mapping[str, str]) -> bytes:
    if secret.startswith(_SHA256):
        return bytes.fromhex(secret.removeprefix(_SHA256))
    return sha256_of(resolve(secret, environment).reveal())
