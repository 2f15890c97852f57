"""A registry of what a configuration file declares, which needs no database."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from trunkline_gateway.auth import Principal
from trunkline_gateway.directory.declared import Declared
from trunkline_gateway.directory.objects import Actor, Item, Kind, Spec
from trunkline_gateway.directory.registry import Parts, Registry
from trunkline_gateway.hashing import Hasher
from trunkline_kit.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry_of(clock: ManualClock) -> Callable[..., Registry]:
    def made(specs: Mapping[Kind, Mapping[str, Spec]]) -> Registry:
        items = {
            kind: {name: Item(kind=kind, id=name, spec=spec, version=0) for name, spec in named.items()}
            for kind, named in specs.items()
        }
        parts = Parts(store=None, mirror=None, make_secret=Hasher().new_secret, clock=clock)
        return Registry(Declared(items=items), parts, rotation_overlap_s=60.0)

    return made


@pytest.fixture
def call_of() -> Callable[..., object]:
    """A call of an operation, by somebody who may."""
    from trunkline_gateway.admin.operations import Call, Nothing, Visitor

    visitor = Visitor(Principal(key_id="ann"), Actor(id="ann", request_id="r"))

    def made(object_id: str = "", **more: Any) -> Call:
        return Call(visitor=visitor, path={"id": object_id}, **{"query": Nothing(), **more})

    return made
