"""A service process from the outside of `serve`: options, readiness of the parts, reload for all or none."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from trunkline_kit.config import decode
from trunkline_kit.errors import ConfigError
from trunkline_kit.runner import RunOptions, apply_all, run_service, serve
from trunkline_kit.settings import Settings


class FakeService:
    """Takes up settings, or refuses more than two requests at once."""

    def __init__(self, name="fake"):
        self.name = name
        self.address = "here"
        self.applied = []

    async def apply(self, settings):
        if self.name == "strict" and settings.server.concurrent_requests > 2:
            raise ConfigError("too many")
        self.applied.append(settings.server.concurrent_requests)


def settings(count):
    return decode({"server": {"concurrent_requests": count}}, Settings)


def test_the_command_line_overrides_addresses():
    options = RunOptions(config=Path("x"), grpc="127.0.0.1:1")
    listen = options.override(Settings()).listen
    assert (listen.grpc, listen.http) == ("127.0.0.1:1", Settings().listen.http)


async def test_a_refusal_takes_back_what_was_applied():
    easy, strict = FakeService("easy"), FakeService("strict")
    with pytest.raises(ConfigError, match="strict: too many"):
        await apply_all((easy, strict), settings(1), settings(3))
    assert (easy.applied, strict.applied) == ([3, 1], [])
    await apply_all((easy, strict), settings(1), settings(2))
    assert (easy.applied, strict.applied) == ([3, 1, 2], [2])


async def test_serves_reloads_and_stops(tmp_path):
    path = tmp_path / "trunkline.yaml"
    path.write_text("server: {config_poll_s: 0.001, concurrent_requests: 1}\n")
    opened, applied, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Service(FakeService):
        async def apply(self, settings):
            assert settings.listen.metrics == "127.0.0.1:0"
            assert settings.server.concurrent_requests == 9
            applied.set()

    @asynccontextmanager
    async def open_service(config, kit):
        assert config == 1
        assert kit.environment == {"A": "b"}
        opened.set()
        yield Service()
        closed.set()

    options = RunOptions(config=path, metrics="127.0.0.1:0")
    async with asyncio.TaskGroup() as group:
        group.create_task(
            serve("router", open_service, lambda settings: settings.server.concurrent_requests, options, {"A": "b"})
        )
        await opened.wait()
        path.write_text("server: {config_poll_s: 0.001, concurrent_requests: 9}\n")
        await applied.wait()
        os.kill(os.getpid(), signal.SIGTERM)
    assert closed.is_set()


def test_a_wrong_file_ends_the_process_with_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r"trunkline router: .*nowhere\.yaml: no such file"):
        run_service("router", None, None, ["--config", str(tmp_path / "nowhere.yaml")])
