"""Libraries that people really use, each led through the same conversations in a process of its own.

Every way to ask meets a server of OpenAI's dialect (`gpt`) and one of Anthropic's (`claude`): chat, stream, tools with
their results sent back, structured output; and a stranger's key, a provider over its rate, a stream that breaks off.
One process a library: most of the time goes into importing it.
"""

import ast
import json
import re
import shutil
from pathlib import Path

import pytest

from trunkline_testkit.parts import require_program
from trunkline_testkit.scripted import CITIES, INPUT_TOKENS, OUTPUT_TOKENS, REPORT, TEXT, WEATHER_TOOL
from trunkline_testkit.upstream import Received

HERE = Path(__file__).parent
DRIVERS = HERE / "drivers"
DOCUMENT = HERE.parents[2] / "services/gateway/docs/clients.md"
USAGE = [INPUT_TOKENS, OUTPUT_TOKENS]
EXPECTED = {
    "chat": {"text": TEXT, "usage": USAGE},
    "stream": {"text": TEXT, "pieces": 4, "usage": USAGE},
    "tools": {"text": " and ".join(f"sunny in {city}" for city in CITIES), "calls": [WEATHER_TOOL] * len(CITIES)},
    "structured": REPORT,
}
ASKED = {f"{model} {name}": result for model in ("gpt", "claude") for name, result in EXPECTED.items()}
OPENAI_TROUBLE = {
    "stranger": "openai.AuthenticationError",
    "busy": "openai.RateLimitError",
    "breaking": "openai.APIError",
}
ANTHROPIC_TROUBLE = {
    "stranger": "anthropic.AuthenticationError",
    "busy": "anthropic.RateLimitError",
    "breaking": "anthropic.APIError",
}
PYDANTIC_TROUBLE = {
    "stranger": "pydantic_ai.ModelAuthenticationError",
    "busy": "pydantic_ai.ModelRateLimitError",
    "breaking": "pydantic_ai.ModelAPIError",
}
AI_SDK_TROUBLE = {"stranger": "AI_APICallError", "busy": "AI_APICallError", "breaking": "AI_StreamProviderError"}
STATUSES = {"stranger": 401, "busy": 429}


@pytest.fixture
def led(served):
    """`await led(driver)`: what each way of a Python driver came to."""

    async def report(driver, program="clients-python"):
        return (await served.led(require_program(program, "run tools/test once"), DRIVERS / "run.py", driver))["ways"]

    return report


def check(told, trouble, more=None):
    """Everything that one way came to is as expected."""
    assert {name: told.get(name) for name in ASKED} == ASKED
    for name, kind in trouble.items():
        raised = told[name]
        assert kind in raised.get("kinds", ()), (name, raised)
        if name in STATUSES:
            assert raised["status"] == STATUSES[name], raised
    assert "cut off" in told["breaking"]["text"]
    assert {name: value for name, value in told.items() if name not in {**ASKED, **trouble}} == (more or {})


async def test_openais_sdk(served, led):
    ways = await led("openai_sdk")
    check(ways["Chat"], OPENAI_TROUBLE)
    check(ways["Responses"], OPENAI_TROUBLE | {"breaking": "openai_sdk.ResponseFailedError"})
    assert ways["AsGoogleDocuments"] == {"google_fields": TEXT}
    sent = [body for body in map(Received.json, served.upstream.requests) if "extra_body" in body]
    assert [body["extra_body"]["google"]["thinking_config"] for body in sent] == [{"include_thoughts": True}]


async def test_anthropics_sdk(led):
    ways = await led("anthropic_sdk")
    check(ways["Messages"], ANTHROPIC_TROUBLE, {"count_tokens": True})


async def test_langchain(led):
    ways = await led("langchain_models")
    check(ways["LangChainOpenAI"], OPENAI_TROUBLE)
    check(ways["LangChainAnthropic"], ANTHROPIC_TROUBLE)


async def test_llama_index(led):
    ways = await led("llama_index_models", "clients-llama-index")
    check(ways["LlamaIndexOpenAILike"], OPENAI_TROUBLE)


async def test_pydantic_ai(led):
    ways = await led("pydantic_ai_agents")
    check(ways["PydanticAIOpenAIChat"], PYDANTIC_TROUBLE)
    check(ways["PydanticAIOpenAIResponses"], PYDANTIC_TROUBLE)
    check(ways["PydanticAIAnthropic"], PYDANTIC_TROUBLE)


async def test_googles_sdk_hears_that_its_protocol_is_not_served(led):
    refusal = (await led("google_genai_sdk"))["GoogleGenAI"]["refusal"]
    assert refusal["status"] in {404, 405}
    assert refusal["body"]["error"]["message"]


@pytest.fixture
def ai_sdk(tmp_path):
    """Node and the driver, with the packages beside it: that is where modules look for them."""
    node = require_program("clients-node", "run tools/test once")
    shutil.copy(DRIVERS / "ai_sdk.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(Path(node).resolve().parent / "node_modules")
    return node, tmp_path / "ai_sdk.mjs"


async def test_vercels_ai_sdk(served, ai_sdk):
    ways = (await served.led(*ai_sdk))["ways"]
    assert set(ways) == {"AISDKOpenAICompatible", "AISDKOpenAIChat", "AISDKAnthropic", "AISDKOpenAIResponses"}
    for told in ways.values():
        check(told, AI_SDK_TROUBLE)


def pinned():
    """Each library's version, from the lists that it is installed from."""
    lines = [line for name in ("python.txt", "llama_index.txt") for line in (HERE / name).read_text().splitlines()]
    python = dict(line.split("==") for line in lines if "==" in line and ";" not in line and line[0] != "#")
    node = json.loads((HERE / "package.json").read_text())["dependencies"]
    return {**python, "openai": {line.split("==")[1] for line in lines if line.startswith("openai==")}, **node}


def test_the_versions_in_the_documentation_are_those_that_are_tested():
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    documented = [
        pair
        for names, versions in rows
        for pair in zip(re.findall(r"`([^`]+)`", names), versions.split(", "), strict=True)
    ]
    assert len(documented) == 11
    found = pinned()
    assert [(name, version) for name, version in documented if version not in found[name]] == []


def test_the_python_in_the_documentation_is_python():
    blocks = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        ast.parse(block)
