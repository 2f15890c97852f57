import pytest

from trunkline_gateway.admin.etags import if_match
from trunkline_gateway.admin.keys import key_routes
from trunkline_gateway.directory.objects import Item, Kind
from trunkline_gateway.directory.registry import Created
from trunkline_kit.errors import InvalidRequest, VersionMismatch
from trunkline_kit.secrets import Secret
from trunkline_kit.tenants import KeySpec


class OneKey:
    """A registry with one key in it."""

    def __init__(self):
        self.item = Item(kind=Kind.KEY, id="k", spec=KeySpec(), version=4)
        self.rotations = []

    async def get(self, kind, object_id):
        return self.item

    async def update(self, draft, actor, if_version=None):
        return Item(kind=Kind.KEY, id="k", spec=draft.spec, version=5)

    async def rotate(self, key_id, actor, overlap_s=None, if_version=None):
        self.rotations.append((key_id, overlap_s, if_version))
        return Created(item=self.item, secret=Secret("tl-new"))


@pytest.fixture
def registry():
    return OneKey()


@pytest.fixture
def does(registry):
    return {route.operation.id: route.work for route in key_routes(registry)}


async def test_a_rotation_shows_the_new_secret(does, registry, call_of):
    answer = await does["rotateKey"](call_of("k", body=b'{"overlap_s":5}'))
    assert answer.body.secret == "tl-new"
    await does["rotateKey"](call_of("k"))
    await does["rotateKey"](call_of("k", body=b" ", if_match=if_match('"4"')))
    assert registry.rotations == [("k", 5.0, None), ("k", None, None), ("k", None, 4)]


async def test_a_rotation_that_makes_no_sense(does, registry, call_of):
    with pytest.raises(InvalidRequest):
        await does["rotateKey"](call_of("k", body=b'{"overlap_s":-1}'))
    with pytest.raises(VersionMismatch):
        await does["rotateKey"](call_of("k", if_match=if_match('"3"')))
    assert not registry.rotations


async def test_a_switch_sets_one_field(does, call_of):
    off = await does["disableKey"](call_of("k"))
    assert (off.body.disabled, off.headers) == (True, (("etag", '"5"'),))
    assert (await does["enableKey"](call_of("k"))).body.disabled is False
