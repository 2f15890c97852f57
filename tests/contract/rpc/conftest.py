"""The service under test, over each transport."""

import pytest

from trunkline.testkit.v1.echo_service_pb2_grpc import EchoServiceStub
from trunkline_testkit.served_echo import ServedEcho


@pytest.fixture(params=["local", "unix", "dns"])
def listen(request, tmp_path):
    return {"local": "local:echo", "unix": f"unix:{tmp_path}/echo.sock", "dns": "127.0.0.1:0"}[request.param]


@pytest.fixture
async def service(listen):
    service = await ServedEcho(listen).open()
    async with service.stack:
        yield service


@pytest.fixture
async def channel(service):
    async with service.channel() as channel:
        yield channel


@pytest.fixture
def stub(channel):
    return EchoServiceStub(channel)
