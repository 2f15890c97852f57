"""`trunkline up` and the commands over its admin API: they find it by the home folder, whatever its port."""

import json
import subprocess

import pytest

from trunkline_testkit.processes import TRUNKLINE, fetch

CONFIG = """
listen: {grpc: "127.0.0.1:0", metrics: "127.0.0.1:0"}
providers: {up: {kind: openai, base_url: "http://127.0.0.1:1/v1"}}
models: {fake: {deployments: [{provider: up, model: x}]}}
teams: {search: {}}
"""


@pytest.fixture
def up(tmp_path, start_up):
    """Without a model of its own: nothing has to be prepared."""
    config = tmp_path / "trunkline.yaml"
    config.write_text(CONFIG)
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    with start_up(home, "--config", config) as running:
        yield running


@pytest.fixture
def trunkline(up, environment):
    def done(*arguments):
        command = [*TRUNKLINE, *arguments]
        more = {"TRUNKLINE_HOME": str(up.home)}
        return subprocess.run(command, env=environment | more, capture_output=True, text=True, check=False, timeout=30)

    return done


def test_a_key_from_made_to_revoked(up, trunkline):
    assert (up.home / "url").read_text().strip() == up.url
    made = trunkline("keys", "create", "dev", "--team", "search", "--budget", "5/day")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert fetch(f"{up.url}/v1/models", key=secret).status == 200
    assert "5/day" in trunkline("keys", "list").stdout
    assert json.loads(trunkline("budgets", "list", "--json").stdout)[0]["state"] == "known"
    assert trunkline("whoami", "--key", secret).stdout.startswith("key\tdev\n")
    revoked = trunkline("keys", "revoke", "dev")
    assert revoked.returncode == 0, revoked.stderr
    assert fetch(f"{up.url}/v1/models", key=secret).status == 401
    log = json.loads(trunkline("audit", "--json").stdout)
    assert [(entry["action"], entry["actor"]) for entry in log] == [("delete", "owner"), ("create", "owner")]
    everything = up.running.stdout + up.running.stderr + (up.home / "logs" / "trunkline.log").read_text()
    assert secret not in everything
    assert up.running.stop() == 0
    assert not (up.home / "url").exists()
    assert "no gateway answers" in trunkline("keys", "list", "--url", up.url).stderr
