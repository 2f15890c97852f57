"""What a gateway knows of the directory at one revision, and what changes make of it."""

from collections.abc import Mapping

from msgspec import Struct

from trunkline_gateway.directory.objects import Changes, Item, Kind, KnownSecret

Items = Mapping[str, Item]


class Snapshot(Struct, frozen=True, kw_only=True):
    """Never changed in place."""

    revision: int = 0
    mark: str = ""
    """Of the database at that revision; empty for one that was never read."""
    items: Mapping[Kind, Items] = {}
    """Kind → id → item."""
    secrets: Mapping[bytes, KnownSecret] = {}
    """By digest. Some may have expired since."""

    def of(self, kind: Kind) -> Items:
        """By id."""
        return self.items.get(kind, {})


def applied(known: Snapshot, changes: Changes) -> Snapshot:
    """The law: in whatever portions changes come, the same is known in the end. Copies only the kinds concerned."""
    items: dict[Kind, dict[str, Item]] = {} if changes.whole else _copied(known, changes)
    for kind, object_id in changes.gone:
        items.get(kind, {}).pop(object_id, None)
    for item in changes.items:
        items.setdefault(item.kind, {})[item.id] = item
    return Snapshot(
        revision=changes.revision,
        mark=changes.mark,
        items=items if changes.whole else {**known.items, **items},
        secrets=_secrets(known, changes),
    )


def _copied(known: Snapshot, changes: Changes) -> dict[Kind, dict[str, Item]]:
    concerned = {kind for kind, _ in changes.gone} | {item.kind for item in changes.items}
    return {kind: dict(known.of(kind)) for kind in concerned}


def _secrets(known: Snapshot, changes: Changes) -> Mapping[bytes, KnownSecret]:
    fresh = {secret.digest: secret for secret in changes.secrets}
    if changes.whole:
        return fresh
    keys = {object_id for kind, object_id in changes.gone if kind is Kind.KEY}
    keys |= {item.id for item in changes.items if item.kind is Kind.KEY}
    if not keys:
        return known.secrets
    return {digest: secret for digest, secret in known.secrets.items() if secret.key_id not in keys} | fresh
