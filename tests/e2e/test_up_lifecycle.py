"""`trunkline up` from start to end: what it leaves behind, what it keeps, what it refuses."""

import asyncio
import json
import re
import signal
import socket
import stat
import time
from pathlib import Path

import asyncpg
import pytest
from redis import Redis

from trunkline_testkit.processes import Up, fetch, trunkline, until, wait_gone

LONG = [{"role": "user", "content": "Tell a very long story about the sea."}]
SECOND_START_S = 5.0
"""What a second start may take on a quiet machine; `RELAXED` times that is asserted, for a busy one."""
RELAXED = 3


def child_folder(up: Up, name: str) -> Path:
    """Where a store's socket is, from its command line."""
    for process in up.running.family():
        line = " ".join(process.cmdline())
        found = re.search(rf"(/\S*trunkline-\d+-[0-9a-f]+)\S*{name}", line)
        if found:
            return Path(found.group(1))
    raise AssertionError(f"no process of {name}")


async def _write_row(folder: Path, value: str) -> None:
    connection = await asyncpg.connect(f"postgresql://trunkline@/trunkline?host={folder}/postgres")
    try:
        await connection.execute("CREATE TABLE kept (value text, v vector(2))")
        await connection.execute("INSERT INTO kept VALUES ($1, '[1,2]')", value)
    finally:
        await connection.close()


async def _read_row(folder: Path) -> str:
    connection = await asyncpg.connect(f"postgresql://trunkline@/trunkline?host={folder}/postgres")
    try:
        return await connection.fetchval("SELECT value FROM kept")
    finally:
        await connection.close()


def valkey(folder: Path) -> Redis:
    return Redis(unix_socket_path=f"{folder}/valkey.sock", socket_timeout=5)


def test_kill_9_loses_nothing_and_leaves_nobody(new_home, start_up):
    home = new_home()
    with start_up(home) as up:
        shown = re.search(r"^Key: (tl-[\w-]{43})  \(shown once", up.running.stdout, re.MULTILINE).group(1)
        assert shown == up.key
        folder = child_folder(up, "postgres")
        asyncio.run(_write_row(folder, "committed"))
        with valkey(folder) as client:
            client.set("kept", "written")
        family = up.running.family()
        assert len(family) > 3
        up.running.process.kill()
        wait_gone(family)
    begun_s = time.monotonic()
    with start_up(home) as up:
        took_s = time.monotonic() - begun_s
        assert up.key == shown
        assert shown not in up.running.stdout
        folder = child_folder(up, "postgres")
        assert asyncio.run(_read_row(folder)) == "committed"
        with valkey(folder) as client:
            assert client.get("kept") == b"written"
        assert up.running.stop() == 0
    assert took_s < RELAXED * SECOND_START_S


def test_the_home_is_private(up):
    assert stat.S_IMODE(up.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((up.home / "key").stat().st_mode) == 0o600


def test_sigterm_lets_a_stream_finish_and_leaves_nobody(new_home, start_up):
    with start_up(new_home()) as up, up.client() as client:
        family = up.running.family()
        stream = client.chat.completions.create(model="auto", messages=LONG, stream=True, temperature=0, max_tokens=150)
        chunks = [next(iter(stream))]
        up.running.process.send_signal(signal.SIGTERM)
        chunks += list(stream)
        assert chunks[-1].choices[0].finish_reason in {"stop", "length"}
        assert up.running.process.wait(20) == 0
        wait_gone(family)
        assert "finishing requests in flight" in up.running.stderr


def test_a_second_signal_stops_at_once(new_home, start_up):
    with start_up(new_home()) as up, up.client() as client:
        family = up.running.family()
        stream = client.chat.completions.create(model="auto", messages=LONG, stream=True, max_tokens=1900)
        next(iter(stream))
        up.running.process.send_signal(signal.SIGINT)
        until(lambda: "finishing requests" in up.running.stderr, 10, "the first signal taken")
        assert up.running.stop(signal.SIGINT) == 0
        wait_gone(family)
        stream.close()


def test_two_starts_on_one_home(up, environment, tmp_path):
    with trunkline(tmp_path / "second", "up", "--home", up.home, "--port", "0", environment=environment) as second:
        assert second.process.wait(20) == 1
        pid = up.running.process.pid
        assert second.stderr == f"trunkline: another trunkline runs on {up.home} (pid {pid}); stop it or use --home\n"
        assert second.stdout == ""


def test_a_taken_port(environment, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ("--home", tmp_path / "home", "--port", str(port))
        with trunkline(tmp_path / "run", "up", *options, environment=environment) as running:
            assert running.process.wait(20) == 1
            assert len(running.stderr.splitlines()) == 1
            assert str(port) in running.stderr
            assert "--port" in running.stderr


def test_no_network_on_the_first_run(environment, tmp_path):
    offline = environment | {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
    }
    offline |= {"PIP_NO_CACHE_DIR": "1"}
    with trunkline(tmp_path / "run", "up", "--home", tmp_path / "home", "--port", "0", environment=offline) as running:
        assert running.process.wait(50) == 1
        assert "no network" in running.stderr.splitlines()[-1]
        assert "Traceback" not in running.stderr


def test_a_changed_file_is_taken_up_and_a_bad_one_is_not(new_home, start_up, tmp_path):
    file = tmp_path / "trunkline.yaml"
    text = json.dumps(
        {
            "listen": {"grpc": "127.0.0.1:0", "metrics": "127.0.0.1:0"},
            "server": {"config_poll_s": 0.1},
            "providers": {"local": {"kind": "worker"}},
            "models": {"small": {"deployments": [{"provider": "local", "model": "smollm2-135m-instruct"}]}},
        }
    )
    file.write_text(text)
    with start_up(new_home(), "--config", file) as up, up.client() as client:

        def names() -> set[str]:
            return {model.id for model in client.models.list()}

        assert names() == {"small"}
        file.write_text("models: 3\n")
        until(lambda: "refused" in up.running.stderr, 10, "the bad file refused")
        assert names() == {"small"}
        file.write_text(text.replace('"small"', '"tiny"'))
        until(lambda: names() == {"tiny"}, 10, "the new name")
        file.write_text(text.replace("smollm2-135m-instruct", "all-minilm-l6-v2"))
        until(lambda: "restart" in up.running.stderr, 10, "a new worker refused")
        assert names() == {"tiny"}


def test_given_stores_are_used_instead(up, new_home, start_up, environment):
    """Those of another `trunkline up`, and one that is not there: said in /readyz, and no reason not to serve."""
    environment["TRUNKLINE_REDIS_URL"] = f"unix://{child_folder(up, 'valkey')}/valkey.sock"
    environment["TRUNKLINE_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:9/none"
    try:
        with start_up(new_home()) as other:
            assert len(other.running.family()) == 1
            reply = fetch(f"{other.url}/readyz")
            parts = {part["name"]: part["up"] for part in json.loads(reply.body)["parts"]}
            assert reply.status == 200
            assert parts["valkey"]
            assert not parts["postgres"]
    finally:
        del environment["TRUNKLINE_REDIS_URL"], environment["TRUNKLINE_DATABASE_URL"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("up", "--config", "/nowhere.yaml"), 1, "no such file"),
        (("up", "--port", "70000"), 2, "--port"),
        (("chat", "hi", "--url", "http://127.0.0.1:9", "--key", "k"), 1, "start one with `trunkline up`"),
        (("chat", " ", "--key", "k"), 1, "nothing to say"),
        (("models", "prepare", "gpt-5"), 1, "no model is called"),
        (("models", "verify"), 1, "models prepare"),
        (("router", "--config", "/nowhere.yaml"), 1, "no such file"),
        (("fly",), 2, "fly"),
    ],
)
def test_failures_are_one_line(arguments, code, says, environment, tmp_path):
    given = environment | {"TRUNKLINE_HOME": str(tmp_path / "home")}
    with trunkline(tmp_path / "run", *arguments, environment=given) as running:
        assert running.process.wait(20) == code
        assert says in running.stderr
        assert "Traceback" not in running.stderr
        if code == 1:
            assert len(running.stderr.splitlines()) == 1
