"""What readiness says of the ways to the store."""

import pytest

from trunkline_gateway.admission.lanes import OneLane, shared_by
from trunkline_kit.errors import StoreUnavailable


class Way:
    def __init__(self, *, up=True, gateways=1, why_down=""):
        self.up, self.gateways, self.why_down = up, gateways, why_down


def test_one_way_leads_to_everything():
    way = Way(gateways=2)
    lanes = OneLane(way)
    assert lanes.lane("{a}") is lanes.lane("{b}") is way
    assert (lanes.check(), lanes.spread) == ("shared by 2 gateways", False)
    way.up, way.why_down = False, "gone"
    with pytest.raises(StoreUnavailable, match=r"^gone; each key's when_store_is_down decides"):
        lanes.check()


def test_of_several_each_must_be_up():
    assert shared_by([Way(gateways=1), Way(gateways=3)]) == "shared by 3 gateways, 2 primaries"
    with pytest.raises(StoreUnavailable, match=r"gone \(1 of 2 primaries\)"):
        shared_by([Way(), Way(up=False, why_down="gone")])
    with pytest.raises(StoreUnavailable, match="no node of the cluster has shown its map yet"):
        shared_by([])
