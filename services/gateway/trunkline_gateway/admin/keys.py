"""What keys have besides: a new secret, and a switch."""

from collections.abc import Callable
from typing import cast

import msgspec

from trunkline_gateway.admin.bodies import decoded
from trunkline_gateway.admin.changes import changed, shown, version_asked
from trunkline_gateway.admin.operations import Answer, Call, Operation, Route
from trunkline_gateway.admin.shapes import KEY_MADE, VIEWS, Rotation
from trunkline_gateway.directory.objects import Kind, Spec
from trunkline_gateway.directory.registry import Registry
from trunkline_kit.tenants import KeySpec, Scope


def key_routes(registry: Registry) -> list[Route]:
    """Rotate, disable, enable."""

    async def rotated(call: Call) -> Answer:
        terms = decoded(call.body, Rotation) if call.body.strip() else Rotation()
        if_version = await version_asked(registry, Kind.KEY, call)
        created = await registry.rotate(call.id, call.actor, terms.overlap_s, if_version)
        return shown(created.item, created.secret.reveal() if created.secret is not None else None)

    async def disabled(call: Call) -> Answer:
        return shown(await changed(registry, Kind.KEY, call, _switch(disabled=True)))

    async def enabled(call: Call) -> Answer:
        return shown(await changed(registry, Kind.KEY, call, _switch(disabled=False)))

    off = "Refuse the key's requests everywhere within a second, until it is enabled again."
    return [
        Route(_rotating(), rotated),
        Route(_switching("disable", off), disabled),
        Route(_switching("enable", "Let a disabled key in again."), enabled),
    ]


def _switch(*, disabled: bool) -> Callable[[Spec], Spec]:
    def switched(spec: Spec) -> Spec:
        return msgspec.structs.replace(cast("KeySpec", spec), disabled=disabled)

    return switched


def _rotating() -> Operation:
    return Operation(
        id="rotateKey",
        method="POST",
        path="/keys/{id}/rotate",
        scope=Scope.ADMIN_WRITE,
        summary="Give the key a new secret, shown this once. The old one goes on working for a while.",
        tag="keys",
        body=Rotation,
        body_required=False,
        answer=KEY_MADE,
        errors=(404, 409, 412, 413, 415),
        versioned=True,
    )


def _switching(verb: str, summary: str) -> Operation:
    return Operation(
        id=f"{verb}Key",
        method="POST",
        path=f"/keys/{{id}}/{verb}",
        scope=Scope.ADMIN_WRITE,
        summary=summary,
        tag="keys",
        answer=VIEWS[Kind.KEY],
        errors=(404, 409, 412),
        versioned=True,
    )
