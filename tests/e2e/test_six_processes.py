"""The same services as six processes over TCP, one file for all: the same SDK calls, the same answers."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import openai
import pytest

from trunkline_testkit import sdk_suite
from trunkline_testkit.parts import free_port
from trunkline_testkit.processes import Running, fetch, trunkline, until

MODEL = "smollm2-135m"
KEY = "tl-six-processes"
CALLEES = ("sre", "router", "cache", "guardrails")
SLOT_TOKENS = 160
"""Bounds what an answer without a limit takes."""


def configuration(ports):
    def at(name):
        return f"dns:///127.0.0.1:{ports[name]}"

    return {
        "listen": {"http": f"127.0.0.1:{ports['http']}", "metrics": "127.0.0.1:0"},
        "services": {name: at(name) for name in CALLEES},
        "workers": {"small": {"model": "smollm2-135m-instruct", "slot_tokens": SLOT_TOKENS, "slots": 2}},
        "providers": {"local": {"kind": "worker", "target": at("worker")}},
        "models": {MODEL: {"deployments": [{"provider": "local", "model": "smollm2-135m-instruct"}]}},
        "routes": {"auto": {"otherwise": [MODEL]}},
        "keys": [{"id": "test", "secret": "env:SIX_KEY", "policy": "careful"}],
        "policies": {
            "careful": {
                "guardrails": {"input": [{"check": "secrets", "on_fail": "flag"}]},
                "cache": {"exact": {"ttl_s": 60}},
            }
        },
    }


class Six:
    def __init__(self, ports: dict[str, int], families: list[Running]) -> None:
        self.ports = ports
        self.families = families
        self.url = f"http://127.0.0.1:{ports['http']}"

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def six(models: Path, environment, tmp_path_factory) -> Iterator[Six]:
    folder = tmp_path_factory.mktemp("six")
    ports = {name: free_port() for name in ("http", "gateway", "worker", *CALLEES)}
    file = folder / "trunkline.yaml"
    file.write_text(json.dumps(configuration(ports)))
    given = environment | {"SIX_KEY": KEY}
    with ExitStack() as stack:
        running = []
        for name in (*CALLEES, "worker", "gateway"):
            more = ("--worker", "small", "--home", models.parent) if name == "worker" else ()
            options = ("--config", file, "--grpc", f"127.0.0.1:{ports[name]}", *more)
            running.append(stack.enter_context(trunkline(folder / name, name, *options, environment=given)))
        six = Six(ports, running)

        def is_ready() -> bool:
            for process in running:
                assert process.process.poll() is None, process.stderr
            try:
                return fetch(f"{six.url}/readyz").status == 200
            except AssertionError:
                return False

        until(is_ready, 45, "six processes ready")
        yield six


def test_the_sdk_gets_the_same_answer_as_from_one_process(six, up):
    with six.client() as apart, up.client() as together:
        text = sdk_suite.stream_equals_whole(apart, MODEL)
        assert text == sdk_suite.stream_equals_whole(together, MODEL)
        sdk_suite.models_are_listed(apart, "auto", MODEL)


def test_every_service_has_a_part_in_a_request(six):
    """The router's, the guardrails' and the cache's share is named in the answer's headers."""
    with six.client() as client:

        def ask() -> Mapping[str, str]:
            raw = client.chat.completions.with_raw_response.create(
                model="auto", messages=[{"role": "user", "content": "Say hi."}], temperature=0
            )
            return raw.headers

        headers = ask()
        assert headers["x-trunkline-model"] == MODEL
        assert headers["x-trunkline-route"].startswith("auto")
        assert headers["x-trunkline-cache"] == "miss"
        assert "x-trunkline-guardrails" in headers
        until(lambda: ask()["x-trunkline-cache"] == "hit", 10, "an answer from the cache")


def test_readyz_names_every_service(six):
    parts = {part["name"]: part["up"] for part in json.loads(fetch(f"{six.url}/readyz").body)["parts"]}
    assert all(parts[name] for name in ("router", "cache", "guardrails", f"model {MODEL}"))


@pytest.mark.parametrize("way", ["--stream", "--no-stream"])
def test_chat_prints_the_answer(six, environment, way):
    command = [sys.executable, "-m", "trunkline_standalone", "chat", "-", "--url", six.url, "--key", KEY, way]
    done = subprocess.run(
        command, input=b"Name three colours.", capture_output=True, env=environment, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_chat_says_that_a_key_is_wrong(six, environment):
    command = [sys.executable, "-m", "trunkline_standalone", "chat", "hi", "--url", six.url, "--key", "tl-wrong"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=50, check=False)
    assert done.returncode == 1
    assert "--key" in done.stderr


def test_each_stops_on_sigterm(six):
    """Last in this file: gateway first, as a rollout would."""
    for running in reversed(six.families):
        assert running.stop() == 0, running.stderr
