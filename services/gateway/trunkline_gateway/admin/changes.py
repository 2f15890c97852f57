"""Changing one object that others may be changing too."""

from collections.abc import Callable

from trunkline_gateway.admin.etags import IfMatch, etag
from trunkline_gateway.admin.operations import Answer, Call
from trunkline_gateway.admin.shapes import view_of
from trunkline_gateway.directory.objects import Draft, Item, Kind, Spec
from trunkline_gateway.directory.registry import Registry
from trunkline_kit.errors import Conflict, ObjectNotFound, VersionMismatch

TRIES_MAX = 5
"""Of a change that names no version, when others change the same object at the same time."""

Change = Callable[[Spec], Spec]


async def changed(registry: Registry, kind: Kind, call: Call, change: Change, absent: Spec | None = None) -> Item:
    """Read the object of the call, change it, write it; again where somebody was faster and no version was named.

    One that is not there is made out of `absent`, if that is given and no version was named; one that is implied, of
    what it implies.

    Raises ObjectNotFound, VersionMismatch, Conflict, StoreUnavailable and what `change` raises.
    """
    for _ in range(TRIES_MAX - 1):
        try:
            return await _changed_once(registry, kind, call, change, absent)
        except VersionMismatch:
            if call.if_match != IfMatch():
                raise
    return await _changed_once(registry, kind, call, change, absent)


async def _changed_once(registry: Registry, kind: Kind, call: Call, change: Change, absent: Spec | None) -> Item:
    try:
        item = await registry.get(kind, call.id)
    except ObjectNotFound:
        if absent is None or call.if_match != IfMatch():
            raise
        return await _made(registry, Draft(kind=kind, id=call.id, spec=change(absent)), call)
    call.if_match.require(item.version)
    draft = Draft(kind=kind, id=item.id, spec=change(item.spec))
    if item.implied:
        return item if draft.spec == item.spec else await _made(registry, draft, call)
    return await registry.update(draft, call.actor, if_version=item.version)


async def _made(registry: Registry, draft: Draft, call: Call) -> Item:
    try:
        return (await registry.create(draft, call.actor)).item
    except Conflict as error:
        # Somebody was faster: it is there now, and is read again.
        raise VersionMismatch(error.message, param=error.param) from error


async def version_asked(registry: Registry, kind: Kind, call: Call) -> int | None:
    """The version that the call is meant for; None where any will do. Raises ObjectNotFound, VersionMismatch."""
    if call.if_match == IfMatch():
        return None
    item = await registry.get(kind, call.id)
    call.if_match.require(item.version)
    return item.version


def shown(item: Item, secret: str | None = None) -> Answer:
    """The object as an answer, with its version as ETag."""
    return Answer(body=view_of(item, secret), headers=(("etag", etag(item.version)),))
