"""Secrets in addresses and files that are wrong: the error that says so does not repeat them."""

import logging

import asyncpg
import pytest
from redis.exceptions import RedisError

from trunkline_kit.config import load
from trunkline_kit.errors import ConfigError
from trunkline_kit.stores.postgres import open_postgres
from trunkline_kit.stores.valkey import open_valkey
from trunkline_testkit.secret_scenes import AWKWARD


@pytest.mark.parametrize(
    "url",
    [
        "redis://:{}@127.0.0.1:1/0",
        "redis://:{}/@127.0.0.1:1/0",
        "redis://:{}#@127.0.0.1:1/0",
        "redis://:{}?@127.0.0.1:1/0",
        "redis://user:{}@[127.0.0.1:1",
        "redis://user:{}@127.0.0.1:port",
        "redis://:{}@a:1,b:2/7",
        "redis://:{}@a:port,b:2",
        "http://:{}@127.0.0.1",
        "unix://:{}@/nowhere.sock",
        "{}",
    ],
)
async def test_a_redis_url_that_is_wrong_is_not_told(scene, url):
    async def use():
        async with open_valkey(url.format(scene["redis password"].removeprefix(AWKWARD))) as client:
            await client.ping()

    await _fails_quietly(scene, use)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:{}@127.0.0.1:1/db",
        "postgresql://u:{}/@127.0.0.1:1/db",
        "postgresql://u:{}#@127.0.0.1:1/db",
        "postgresql://u:{}@[127.0.0.1:1/db",
        "postgresql://u:{}@127.0.0.1:port/db",
        "postgresql://u:{}@127.0.0.1:1/db?sslmode=nonsense",
        "postgresql://u:{}@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/nowhere",
        "mysql://u:{}@127.0.0.1",
        "{}",
    ],
)
async def test_a_database_url_that_is_wrong_is_not_told(scene, url):
    async def use():
        async with open_postgres(url.format(scene["database password"].removeprefix(AWKWARD))) as pool:
            await pool.fetchval("SELECT 1")

    await _fails_quietly(scene, use)


async def _fails_quietly(scene, use):
    """With an error of which neither the message nor the traceback, as the log would have it, holds a secret."""
    try:
        await use()
    except (ConfigError, RedisError, asyncpg.InterfaceError, OSError) as error:
        logging.getLogger("test").exception("failed")
        scene.see("message", repr(error))
    else:
        pytest.fail("that address works")
    found = scene.leaks()
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "*{}",
        "!{}",
        "!!{} x",
        "&x {}: y",
        "'{}",
        '"\\{}"',
        "{}: y",
        "[{}",
        "{{a: {}",
        "|{}",
        "@{}",
        "{}\n  - x",
        "[{}]",
        "{}",
    ],
)
def test_a_file_that_is_wrong_is_not_repeated(scene, tmp_path, line):
    """Secrets do not belong there; somebody will paste one all the same."""
    file = tmp_path / "trunkline.yaml"
    text = line.format(scene["wrong key"])
    file.write_text(f"providers:\n  up:\n    kind: openai\n    base_url: http://a\n    api_key: {text}\n")
    with pytest.raises(ConfigError) as refused:
        load(file)
    scene.see("message", str(refused.value))
    assert not scene.leaks()
