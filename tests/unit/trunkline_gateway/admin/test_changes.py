import msgspec
import pytest

from trunkline_gateway.admin.changes import TRIES_MAX, changed, shown, version_asked
from trunkline_gateway.admin.etags import if_match
from trunkline_gateway.directory.objects import Item, Kind
from trunkline_gateway.directory.registry import Created
from trunkline_kit.errors import Conflict, ObjectNotFound, VersionMismatch
from trunkline_kit.tenants import Tag, Team


class Contested:
    """A registry in which somebody else is faster so many times."""

    def __init__(self, losses, weight=1.0):
        self.losses = losses
        self.item = Item(kind=Kind.TEAM, id="t", spec=Team(weight=weight), version=1)

    async def get(self, kind, object_id):
        if object_id != "t":
            raise ObjectNotFound("no")
        return self.item

    async def update(self, draft, actor, if_version=None):
        if self.losses:
            self.losses -= 1
            self.item = msgspec.structs.replace(self.item, version=self.item.version + 1)
        if if_version != self.item.version:
            raise VersionMismatch("faster")
        self.item = msgspec.structs.replace(self.item, spec=draft.spec, version=self.item.version + 1)
        return self.item

    async def create(self, draft, actor):
        return Created(item=Item(kind=draft.kind, id=draft.id, spec=draft.spec, version=1))


class Implied(Contested):
    """A registry with a team that nobody has made yet; somebody else may be faster to make it."""

    def __init__(self, losses):
        super().__init__(0)
        self.rivals = losses
        self.item = Item(kind=Kind.TEAM, id="t", spec=Team(), version=0, implied=True)

    async def create(self, draft, actor):
        if not self.item.implied:
            raise Conflict("there is one already")
        version, spec = (7, Team(org="o")) if self.rivals else (1, draft.spec)
        self.item = msgspec.structs.replace(self.item, spec=spec, version=version, implied=False)
        if self.rivals:
            raise Conflict("there is one already")
        return Created(item=self.item)


async def test_the_first_change_of_something_implied_makes_it(call_of):
    registry = Implied(0)
    unchanged = await changed(registry, Kind.TEAM, call_of("t"), lambda spec: spec)
    assert unchanged.implied
    made = await changed(registry, Kind.TEAM, call_of("t", if_match=if_match('"0"')), heavier)
    assert (made.spec, made.version, made.implied) == (Team(weight=2.0), 1, False)
    late = await changed(Implied(1), Kind.TEAM, call_of("t"), heavier)
    assert late.spec == Team(org="o", weight=2.0), "made by somebody else meanwhile, and changed then"
    with pytest.raises(VersionMismatch):
        await changed(Implied(1), Kind.TEAM, call_of("t", if_match=if_match('"0"')), heavier)


def heavier(spec):
    return msgspec.structs.replace(spec, weight=spec.weight + 1)


async def test_a_change_is_tried_again_on_what_others_made(call_of):
    registry = Contested(TRIES_MAX - 1)
    assert (await changed(registry, Kind.TEAM, call_of("t"), heavier)).spec.weight == 2


async def test_but_not_for_ever(call_of):
    with pytest.raises(VersionMismatch):
        await changed(Contested(TRIES_MAX), Kind.TEAM, call_of("t"), heavier)


async def test_and_not_where_a_version_was_named(call_of):
    registry = Contested(1)
    with pytest.raises(VersionMismatch):
        await changed(registry, Kind.TEAM, call_of("t", if_match=if_match('"1"')), heavier)
    assert registry.item.spec.weight == 1


async def test_what_is_not_there_is_made_only_out_of_something(call_of):
    def same(spec):
        return spec

    with pytest.raises(ObjectNotFound):
        await changed(Contested(0), Kind.TAG, call_of("x"), same)
    with pytest.raises(ObjectNotFound):
        await changed(Contested(0), Kind.TAG, call_of("x", if_match=if_match('"1"')), same, Tag())
    assert (await changed(Contested(0), Kind.TAG, call_of("x"), same, Tag())).id == "x"


async def test_the_version_of_a_call(call_of):
    assert await version_asked(Contested(0), Kind.TEAM, call_of("t")) is None
    assert await version_asked(Contested(0), Kind.TEAM, call_of("t", if_match=if_match('"1"'))) == 1
    with pytest.raises(VersionMismatch):
        await version_asked(Contested(0), Kind.TEAM, call_of("t", if_match=if_match('"2"')))


def test_an_answer_has_its_version():
    answer = shown(Contested(0).item)
    assert (answer.headers, answer.body.id) == ((("etag", '"1"'),), "t")
