"""A second provider that nobody here wrote, in chaos: whatever it does, a healthy one answers instead."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

from trunkline_testkit.fault_cells import HEALTHY, LANES
from trunkline_testkit.hearing import heard, refused
from trunkline_testkit.parts import free_port, require_program
from trunkline_testkit.provider_words import OPENAI, TEXT

START_TIMEOUT_S = 30.0
HEADERS = {"authorization": "Bearer tl-test-key"}
FIXTURES = {"fixtures": [{"match": {"userMessage": "count to two"}, "response": {"content": TEXT}}]}
REFUSED = {"drop": (502, "upstream_unavailable"), "disconnect": (502, "upstream_unavailable")}
REFUSED |= {"malformed": (502, "upstream_error"), "ratelimit": (429, "upstream_rate_limited")}
LANE = pytest.mark.parametrize(
    "lane",
    [LANES[name] for name in ("chat-openai", "messages-anthropic", "responses-openai")],
    ids=lambda lane: lane.name,
)
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@contextmanager
def running(folder: Path, *flags: str) -> Iterator[str]:
    program = require_program("aimock", "run tools/test once")
    fixtures, port = folder / "fixtures.json", free_port()
    fixtures.write_text(json.dumps(FIXTURES))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-p", str(port), "-f", fixtures, *flags], stdout=log, stderr=log)
    try:
        url, until_s = f"http://127.0.0.1:{port}", time.monotonic() + START_TIMEOUT_S
        while not answers(url):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until_s, (folder / "log").read_text()
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):
            return True
    except HTTPError:
        return True
    except (URLError, OSError):
        return False


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Its URL by its kind of chaos: started when it is asked for."""
    started: dict[str, str] = {}
    with ExitStack() as stack:

        def url(chaos: str) -> str:
            if chaos not in started:
                flags = () if chaos == HEALTHY else (f"--chaos-{chaos}", "1")
                folder = tmp_path_factory.mktemp(f"aimock-{chaos}")
                started[chaos] = stack.enter_context(running(folder, *flags))
            return started[chaos]

        yield url


@pytest.fixture
async def ask(lane, stream, aimock, open_harness):
    """Asks a gateway for a model that one aimock has in chaos: it alone, or with a healthy one beside it."""
    kind, path = ("openai", "/v1") if lane.words is OPENAI else ("anthropic", "")
    providers = {chaos: {"kind": kind, "base_url": aimock(chaos) + path} for chaos in (HEALTHY, *REFUSED)}
    models = {HEALTHY: {"deployments": [{"provider": HEALTHY, "model": "m"}]}}
    for chaos in REFUSED:
        alone = {
            "deployments": [{"provider": chaos, "model": "m"}],
            "retries": {"max_attempts": 2, "wait_s_max": 0.2},
            # One that rests for what it was asked before would not be asked for this.
            "breaker": {"failures": 100},
        }
        models |= {chaos: alone, f"{chaos}-backed": {**alone, "fallbacks": {"on_error": [HEALTHY]}}}
    harness = await open_harness({"providers": providers, "models": models})

    async def asked(model):
        body = lane.surface.asking(model, stream=stream)
        async with harness.http.post(harness.url + lane.surface.path, json=body, headers=HEADERS) as reply:
            return reply, await reply.read()

    return asked


@LANE
@STREAM
async def test_alone_it_makes_an_error_and_a_healthy_one_answers_instead(ask, lane, stream):
    for chaos, (status, code) in REFUSED.items():
        reply, data = await ask(chaos)
        assert (reply.status, refused(lane.surface, data).error) == (status, lane.surface.error_of(status, code)), chaos
        reply, data = await ask(f"{chaos}-backed")
        said = heard(lane.surface, data, stream=stream)
        assert (said.text, said.is_complete) == (TEXT, True), chaos
        assert reply.headers["x-trunkline-provider"] == HEALTHY, chaos
