"""What must be up, and what need not."""

from trunkline_gateway.catalogue import build
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.readiness import readiness_of
from trunkline_kit.clock import ManualClock
from trunkline_kit.config import decode
from trunkline_kit.errors import UpstreamUnavailable
from trunkline_kit.rpc import Net
from trunkline_kit.settings import Settings

ROUTES = {"auto": {"otherwise": ["big"]}}


class Workers:
    def __init__(self, *up):
        self.up = up

    async def check(self, provider_model):
        if provider_model not in self.up:
            raise UpstreamUnavailable(f"{provider_model} is down")


async def report(*up, routes=None, channels=None):
    tree = {
        "providers": {"w": {"kind": "worker"}},
        "models": {
            "big": {"deployments": [{"provider": "w", "model": "b1"}, {"provider": "w", "model": "b2"}]},
            "small": {"deployments": [{"provider": "w", "model": "s"}]},
        },
        "routes": routes or {},
    }
    catalogue = build(GatewayConfig.from_settings(decode(tree, Settings)), 0)
    return await readiness_of(catalogue, {"w": Workers(*up)}, channels or {}, ManualClock()).report()


async def test_without_routes_one_model_is_enough():
    assert (await report("s")).ready
    assert not (await report()).ready


async def test_a_routes_model_is_needed_and_one_deployment_of_it_is_enough():
    assert not (await report("s", routes=ROUTES)).ready
    assert (await report("b2", routes=ROUTES)).ready


async def test_what_is_down_is_said_and_whether_it_matters():
    parts = {part.name: part for part in (await report("b1", routes=ROUTES)).parts}
    assert (parts["model small"].up, parts["model small"].required) == (False, False)
    assert parts["model small"].detail == "s is down"
    assert parts["model big"].required


async def test_services_are_never_needed():
    async with Net().channel("local:router") as channel:
        found = await report("b1", channels={"router": channel})
    assert found.ready
    [router] = [part for part in found.parts if part.name == "router"]
    assert not router.up
    assert "requests do without it" in router.detail
