"""The verdict of somebody else's chaos server on this gateway as its client: nothing is taken for what it is not.

llmock grades what it sees: retries that come too early, or for what cannot succeed, or without end, and streams that
end without a reason and are believed.
"""

import asyncio
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from urllib.error import URLError

import pytest

from trunkline_testkit.fault_cells import LANES
from trunkline_testkit.hearing import heard
from trunkline_testkit.parts import free_port, require_program
from trunkline_testkit.provider_words import OPENAI

START_TIMEOUT_S = 30.0
HEADERS = {"authorization": "Bearer tl-test-key"}
NATIVE = [LANES[name] for name in ("chat-openai", "messages-anthropic", "responses-openai")]
LANE = pytest.mark.parametrize("lane", NATIVE, ids=lambda lane: lane.name)
FAILS = (
    ({"status": 500}, 200),
    ({"status": 503, "times": 2, "retry_after": 0.02}, 200),
    ({"status": 429, "retry_after": 0.2}, 200),
    ({"status": 400}, 400),
    ({"status": 403}, 502),
    ({"status": 404}, 502),
    ({"status": 529, "times": None, "retry_after": 0.02}, 502),
)
"""What llmock does, and the status that a caller gets."""
AGAIN = 3
"""How often a caller asks, who has been told that an answer broke off."""


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = require_program("llmock", "run tools/parts.py llmock")
    port, log = free_port(), tmp_path_factory.mktemp("llmock") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([program, "serve", "--port", str(port)], stdout=file, stderr=file)
    try:
        url = f"http://127.0.0.1:{port}"
        until_up(f"{url}/_llmock/verdict", process, log)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def until_up(url, process, log):
    until_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until_s, log.read_text()
            time.sleep(0.05)


class Bench:
    """A gateway in front of llmock."""

    def __init__(self, harness, mock, lane):
        self._harness = harness
        self._mock = mock
        self._lane = lane

    async def script(self, *behaviors):
        """What happens to the next requests, after everything before is forgotten."""
        async with self._harness.http.post(f"{self._mock}/_llmock/reset") as reply:
            assert reply.status < 300
        async with self._harness.http.post(f"{self._mock}/_llmock/scenario", json={"behaviors": behaviors}) as reply:
            assert reply.status < 300, await reply.text()

    async def ask(self, *, stream):
        """Status and what was heard, of an answer."""
        surface = self._lane.surface
        body = surface.asking("fake", stream=stream)
        async with self._harness.http.post(self._harness.url + surface.path, json=body, headers=HEADERS) as reply:
            data = await reply.read()
            return reply.status, heard(surface, data, stream=stream) if reply.status == 200 else None

    async def findings(self):
        async with self._harness.http.get(f"{self._mock}/_llmock/verdict") as reply:
            verdict = await reply.json()
        assert verdict["faults_injected"] > 0, "llmock did what it was told"
        assert verdict["passed"], verdict
        return {finding["code"] for finding in verdict["findings"]}


@pytest.fixture
async def bench(mock, lane, open_harness):
    if lane.words is OPENAI:
        account = {"kind": "openai", "base_url": f"{mock}/v1", "api_key": "env:UP", "assemble_streams": "auto"}
    else:
        account = {"kind": "anthropic", "base_url": f"{mock}/anthropic", "api_key": "env:UP"}
    model = {"deployments": [{"provider": "up", "model": "some-model"}], "timeouts": {"idle_s": 0.3}}
    return Bench(await open_harness({"providers": {"up": account}, "models": {"fake": model}}), mock, lane)


def broken(kind, after_chunks):
    return {"type": "stream_fault", "kind": kind, "after_chunks": after_chunks}


@LANE
async def test_a_stream_that_is_cut_before_its_first_token_is_asked_for_again(bench):
    await bench.script(broken("truncate", 1))
    status, said = await bench.ask(stream=True)
    assert (status, said.is_complete) == (200, True)
    assert await bench.findings() == set()


@LANE
@pytest.mark.parametrize("kind", ["truncate", "disconnect", "stall"])
async def test_a_stream_that_is_cut_in_the_middle_is_never_believed(bench, kind):
    """Its caller is told, and asks again: for llmock that is one client."""
    await bench.script({**broken(kind, 5), "stall_seconds": 5} if kind == "stall" else broken(kind, 5))
    answers = []
    async with asyncio.timeout(10):
        while len(answers) < AGAIN and not (answers and answers[-1].is_complete):
            answers.append((await bench.ask(stream=True))[1])
    assert [said.is_complete for said in answers] == [False, True]
    assert answers[0].error
    assert await bench.findings() <= {"no_backoff"}


@pytest.mark.parametrize("lane", [lane for lane in NATIVE if lane.words is OPENAI], ids=lambda lane: lane.name)
async def test_a_whole_answer_out_of_a_broken_stream_is_asked_for_again(bench):
    for kind in ("truncate", "disconnect", "malformed"):
        await bench.script(broken(kind, 5))
        status, said = await bench.ask(stream=False)
        assert (status, said.is_complete) == (200, True)
        # We read all of it before we judge: for llmock, what comes then is another call.
        assert await bench.findings() <= ({"malformed_chunk_ignored"} if kind == "malformed" else set())


@LANE
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_what_may_work_is_tried_again_and_what_cannot_is_not(bench, stream):
    for fail, expected in FAILS:
        await bench.script({"type": "fail", **fail})
        assert (await bench.ask(stream=stream))[0] == expected, fail
        assert await bench.findings() <= {"no_backoff", "gave_up"}, fail
