"""EndpointSlices as an API server tells of them."""

import asyncio
import json

import pytest
from aiohttp import web

from trunkline_gateway.replicas.endpoint_slices import (
    Cluster,
    EndpointSlices,
    Members,
    Service,
    Slice,
    _decode_event,
    cluster_of,
    members_of,
    service_of,
)
from trunkline_kit.errors import ConfigError

SERVICE = Service("ai", "workers", "grpc")


def slice_of(name, version, *endpoints, ports=({"name": "grpc", "port": 9090}, {"name": "metrics", "port": 9464})):
    return {
        "metadata": {"name": name, "resourceVersion": version},
        "endpoints": [
            {"addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod"}}
            for address, conditions in endpoints
        ],
        "ports": list(ports),
    }


READY, STARTING = {"ready": True, "serving": True, "terminating": False}, {"ready": False, "serving": False}
ENDING = {"ready": False, "serving": True, "terminating": True}


def decoded(raw):
    return _decode_event(json.dumps({"type": "ADDED", "object": raw})).object


def members(*slices, port="grpc"):
    return members_of({one.metadata.name: one for one in map(decoded, slices)}, port)


def test_who_is_ready_who_ends_and_who_is_not_there_yet():
    found = members(slice_of("a", "1", ("10.0.0.1", READY), ("10.0.0.2", STARTING), ("10.0.0.3", ENDING)))
    assert found == Members(frozenset({"10.0.0.1:9090"}), frozenset({"10.0.0.3:9090"}))


def test_unknown_is_ready_and_what_ends_never_is():
    publishes_all = {"ready": True, "terminating": True}
    found = members(slice_of("a", "1", ("10.0.0.1", {}), ("10.0.0.2", publishes_all)))
    assert found == Members(frozenset({"10.0.0.1:9090"}), frozenset({"10.0.0.2:9090"}))


def test_in_two_slices_at_once_it_is_ready_if_it_is_in_either():
    found = members(slice_of("a", "1", ("10.0.0.1", ENDING)), slice_of("b", "1", ("10.0.0.1", READY)))
    assert found == Members(frozenset({"10.0.0.1:9090"}))


@pytest.mark.parametrize(("port", "found"), [("grpc", "9090"), ("9464", "9464"), ("http", None)])
def test_the_port_by_name_or_number(port, found):
    ready = members(slice_of("a", "1", ("fd00::1", READY)), port=port).ready
    assert ready == (frozenset({f"[fd00::1]:{found}"}) if found else frozenset())


def test_a_slice_without_anything():
    assert members_of({"a": Slice()}, "grpc") == Members(frozenset())


@pytest.mark.parametrize("text", ["workers:grpc", "ai/workers", "/workers:1", "ai/:1", "ai/workers/x:1"])
def test_a_service_that_makes_no_sense_is_named(text):
    with pytest.raises(ConfigError, match="k8s:///NAMESPACE/SERVICE:PORT"):
        service_of(text)


def test_services_and_clusters():
    assert service_of("ai/workers:grpc") == SERVICE
    environment = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    assert cluster_of(environment).url == "https://10.0.0.1:6443"
    assert cluster_of({"KUBERNETES_SERVICE_HOST": "fd00::1"}).url == "https://[fd00::1]:443"


class ApiServer:
    """Lists one slice; a watch gets the next script, and then hangs."""

    def __init__(self, *scripts):
        self.scripts = list(scripts)
        self.listed = []
        self.asked = []
        self.busy = asyncio.Event()

    async def answer(self, request):
        if len(self.asked) > 5:
            self.busy.set()
        self.asked.append((dict(request.query), request.headers["authorization"]))
        if "watch" not in request.query:
            if not self.listed:
                raise web.HTTPServiceUnavailable
            body = {"metadata": {"resourceVersion": "7"}, "items": [self.listed.pop(0)]}
            return web.json_response(body)
        script = self.scripts.pop(0) if self.scripts else None
        if script == 410:
            raise web.HTTPGone
        reply = web.StreamResponse()
        await reply.prepare(request)
        for kind, raw in script or ():
            await reply.write(json.dumps({"type": kind, "object": raw}).encode() + b"\n")
        if script is None:
            await asyncio.Event().wait()
        return reply


@pytest.fixture
async def api(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    server = ApiServer()
    app = web.Application()
    app.router.add_get("/apis/discovery.k8s.io/v1/namespaces/ai/endpointslices", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield server, EndpointSlices(SERVICE, Cluster(f"http://127.0.0.1:{port}", tmp_path), pause_s=0.0)
    await runner.cleanup()


async def told_by(source, count):
    told, enough = [], asyncio.Event()

    def tell(found):
        told.append(sorted(found.ready))
        if len(told) == count:
            enough.set()

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        following = group.create_task(source.follow(tell))
        await enough.wait()
        following.cancel()
    return told


async def test_a_list_and_then_what_changes(api):
    server, source = api
    server.listed = [slice_of("a", "5", ("10.0.0.1", READY))]
    server.scripts = [
        [
            ("MODIFIED", slice_of("a", "8", ("10.0.0.1", READY), ("10.0.0.2", READY))),
            ("BOOKMARK", {"metadata": {"resourceVersion": "9"}}),
        ],
        [("ADDED", slice_of("b", "10", ("10.0.0.3", READY))), ("DELETED", slice_of("a", "11"))],
    ]
    one, two, three = "10.0.0.1:9090", "10.0.0.2:9090", "10.0.0.3:9090"
    assert await told_by(source, 4) == [[one], [one, two], [one, two, three], [three]]
    versions = [query.get("resourceVersion") for query, _ in server.asked]
    assert versions[:3] == [None, "7", "9"]
    query, token = server.asked[0]
    assert query == {"labelSelector": "kubernetes.io/service-name=workers"}
    assert token == "Bearer secret"


@pytest.mark.parametrize("script", [410, [("ERROR", {"code": 410})]], ids=["status", "event"])
async def test_a_version_that_is_too_old_is_listed_again(api, script):
    server, source = api
    server.listed = [slice_of("a", "5", ("10.0.0.1", READY)), slice_of("a", "9", ("10.0.0.2", READY))]
    server.scripts = [script]
    assert await told_by(source, 2) == [["10.0.0.1:9090"], ["10.0.0.2:9090"]]


async def test_an_api_server_that_is_away_takes_nobody_away(api):
    server, source = api
    server.listed = [slice_of("a", "5", ("10.0.0.1", READY))]
    server.scripts = [[("MODIFIED", "no slice")]]
    told = []
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        following = group.create_task(source.follow(lambda found: told.append(found.ready)))
        await server.busy.wait()
        following.cancel()
    assert told == [frozenset({"10.0.0.1:9090"})]


async def test_a_long_list_of_endpoints_comes_through(api):
    server, source = api
    many = [(f"10.1.{number // 200}.{number % 200}", READY) for number in range(3000)]
    server.listed = [slice_of("a", "5", ("10.0.0.1", READY))]
    server.scripts = [[("MODIFIED", slice_of("a", "8", *many))]]
    assert len((await told_by(source, 2))[1]) == 3000
