"""Objects of a directory as tests make them."""

from typing import Any

from trunkline_gateway.directory.needs import needs_of
from trunkline_gateway.directory.objects import Actor, Draft, Item, Kind, NewSecret, Spec
from trunkline_gateway.directory.store import DirectoryStore
from trunkline_kit.tenants import KeySpec, Org, Project, Tag, Team

ANN = Actor(id="ann", request_id="req-1", source="10.0.0.1")


def draft(kind: Kind, object_id: str, spec: Spec | None = None) -> Draft:
    """One that says nothing unless told otherwise."""
    empty: dict[Kind, Spec] = {
        Kind.ORG: Org(),
        Kind.TEAM: Team(),
        Kind.PROJECT: Project(),
        Kind.KEY: KeySpec(),
        Kind.TAG: Tag(),
    }
    return Draft(kind=kind, id=object_id, spec=spec if spec is not None else empty[kind])


def secret(name: str, last_four: str = "abcd") -> NewSecret:
    """The same for the same name."""
    return NewSecret(digest=name.encode().ljust(32, b"."), pepper_id="p1", last_four=last_four)


async def create(store: DirectoryStore, kind: Kind, object_id: str, spec: Spec | None = None, **rest: Any) -> Item:
    """Make it, a key with a secret, as Ann."""
    made = draft(kind, object_id, spec)
    rest.setdefault("secret", secret(object_id) if kind is Kind.KEY else None)
    return await store.create(made, ANN, needs=tuple(needs_of(made.spec)), **rest)
