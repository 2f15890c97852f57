"""Two real workers as processes, one of which dies while it answers: the answer goes on at the other one."""

import json
import signal
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import openai
import pytest

from trunkline_testkit.parts import free_port
from trunkline_testkit.processes import Running, fetch, sample, trunkline, until

MODEL = "smollm2-135m-instruct"
KEY = "tl-pulled-plug"
TOKENS = 150
STORY = [{"role": "user", "content": "Tell me a long story about a lighthouse keeper and a ship in a storm."}]
Started = AbstractContextManager[Running]
BUSY = "vllm:num_requests_running"


class Pair:
    """A gateway before two workers; the workers by where their metrics are."""

    def __init__(self, http: int, metrics: int, workers: dict[int, Running]) -> None:
        self.url = f"http://127.0.0.1:{http}"
        self.workers = workers
        self._metrics = metrics

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=0, timeout=60)

    def busy(self) -> Running | None:
        """The worker that has something to do."""
        for port, running in self.workers.items():
            page = fetch(f"http://127.0.0.1:{port}/metrics").body.decode()
            if sample(page, BUSY, f'{{model_name="{MODEL}"}}'):
                return running
        return None

    def resumes(self) -> float:
        page = fetch(f"http://127.0.0.1:{self._metrics}/metrics").body.decode()
        labels = f'{{model="{MODEL}",provider="local"}}'
        return sample(page, "trunkline_gateway_replica_resumes_total", labels)


def written(folder: Path, name: str, tree: dict[str, object]) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps(tree))
    return file


def worker(folder: Path, models: Path, grpc: int, pages: int, environment: dict[str, str]) -> Started:
    tree = {
        "listen": {"grpc": f"127.0.0.1:{grpc}", "metrics": f"127.0.0.1:{pages}"},
        "server": {"drain_grace_s": 0.2},
        "workers": {"w": {"model": MODEL, "slots": 2, "slot_tokens": 512, "threads": 1}},
    }
    options = ("--config", written(folder, f"worker{grpc}", tree), "--worker", "w", "--home", models.parent)
    return trunkline(folder / f"worker{grpc}", "worker", *options, environment=environment)


def gateway(folder: Path, http: int, pages: int, targets: Iterable[int], environment: dict[str, str]) -> Started:
    target = ",".join(f"127.0.0.1:{port}" for port in targets)
    listen = {"http": http, "grpc": free_port(), "metrics": pages}
    tree = {
        "listen": {name: f"127.0.0.1:{port}" for name, port in listen.items()},
        "providers": {"local": {"kind": "worker", "target": f"ipv4:{target}", "resume": True}},
        "models": {"m": {"deployments": [{"provider": "local", "model": MODEL}]}},
        "keys": [{"id": "test", "secret": "env:PLUG_KEY"}],
    }
    options = ("--config", written(folder, "gateway", tree))
    return trunkline(folder / "gateway", "gateway", *options, environment=environment | {"PLUG_KEY": KEY})


@pytest.fixture
def pair(models: Path, environment: dict[str, str], tmp_path: Path) -> Iterator[Pair]:
    ports = [(free_port(), free_port()) for _ in range(2)]
    http, pages = free_port(), free_port()
    with ExitStack() as stack:
        workers = {
            metrics: stack.enter_context(worker(tmp_path, models, grpc, metrics, environment))
            for grpc, metrics in ports
        }
        before = stack.enter_context(gateway(tmp_path, http, pages, [grpc for grpc, _ in ports], environment))
        pair = Pair(http, pages, workers)

        def is_ready() -> bool:
            for one in (*workers.values(), before):
                assert one.process.poll() is None, one.stderr
            try:
                return b"2 of 2 replicas" in fetch(f"{pair.url}/readyz").body
            except AssertionError:
                return False

        until(is_ready, 45, "both workers heard of")
        yield pair


@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to stop"])
def test_an_answer_outlives_its_worker(pair, ends):
    said, told, finish, usage = "", 0, None, None
    with pair.client() as client:
        stream = client.chat.completions.create(
            model="m",
            messages=STORY,
            temperature=0,
            max_tokens=TOKENS,
            stream=True,
            stream_options={"include_usage": True},
        )
        for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                said += choice.delta.content or ""
                finish = choice.finish_reason or finish
                told += bool(choice.delta.content)
            if told == 10:
                told += 1
                until(pair.busy, 1, "a worker that answers").process.send_signal(ends)
    assert (finish, usage.completion_tokens) == ("length", TOKENS)
    assert pair.resumes() == 1
    assert len(said) > 2 * TOKENS
