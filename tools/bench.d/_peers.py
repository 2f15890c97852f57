"""Other gateways, as far as they are installed under BENCH_HOME/peers: how each is started and asked.

peers/litellm    python -m venv, then pip install 'litellm[proxy]'
peers/portkey    npm install @portkey-ai/gateway
peers/tz         python -m venv, then pip install sglang-router vllm-router
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

KEY = "sk-bench"


class Peer(NamedTuple):
    """A gateway that somebody else made."""

    name: str
    command: list[str]
    port: int
    headers: tuple[str, ...]


def peers(home: Path, folder: Path, provider_port: int) -> Iterator[Peer]:
    """Those that are there. Configuration files go into `folder`."""
    provider = f"http://127.0.0.1:{provider_port}"
    found = (
        _litellm(home / "litellm/bin/litellm", folder, provider),
        _portkey(home / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js", provider),
        _router("smg", home / "tz/bin/smg", ["launch", "--disable-health-check", "--backend", "openai"], provider),
        _router("vllm-router", home / "tz/bin/vllm-router", [], provider),
    )
    for program, peer in found:
        if program.exists():
            yield peer


def _litellm(program: Path, folder: Path, provider: str) -> tuple[Path, Peer]:
    model = {"model": "openai/mock", "api_base": f"{provider}/v1", "api_key": "sk-upstream"}
    config = {
        "model_list": [{"model_name": "mock", "litellm_params": model}],
        "general_settings": {"master_key": KEY},
    }
    file = folder / "litellm.yaml"
    file.write_text(json.dumps(config))
    command = [str(program), "--config", str(file), "--port", "4000", "--num_workers", "1"]
    return program, Peer("litellm", command, 4000, (f"authorization: Bearer {KEY}",))


def _portkey(program: Path, provider: str) -> tuple[Path, Peer]:
    headers = (
        f"authorization: Bearer {KEY}",
        "x-portkey-provider: openai",
        f"x-portkey-custom-host: {provider}/v1",
    )
    return program, Peer("portkey", ["node", str(program), "--port=8787", "--headless"], 8787, headers)


def _router(name: str, program: Path, options: list[str], provider: str) -> tuple[Path, Peer]:
    """Two Rust routers of one family. They keep no state and check no key."""
    port = {"smg": 30000, "vllm-router": 30001}[name]
    common = ["--worker-urls", provider, "--port", str(port), "--policy", "round_robin", "--log-level", "error"]
    common += ["--prometheus-port", str(port - 1000)]
    return program, Peer(name, [str(program), *options, *common], port, (f"authorization: Bearer {KEY}",))
