"""`trunkline keys | teams | … ` over a real gateway: as commands of this process, and as a process of its own."""

import asyncio
import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from trunkline_kit.lifecycle import run
from trunkline_standalone.cli import app

HOSTILE = ("TRUNKLINE_", "OPENAI_")


@pytest.fixture
def with_commands(open_admin, home):
    """Runs a test's commands in a thread while a gateway serves: commands bring their own event loop."""

    def ran(test):
        async def scenario():
            async with open_admin() as admin:
                (home / "url").write_text(admin.url)
                await asyncio.to_thread(test, Commands(home, admin.url))

        run(scenario)

    return ran


class Commands:
    """`trunkline …`, with what it wrote."""

    def __init__(self, home, url):
        self.home = home
        self.url = url

    def run(self, *arguments, env=None):
        environment = {"TRUNKLINE_HOME": str(self.home), "TRUNKLINE_URL": "", "TRUNKLINE_API_KEY": "", **(env or {})}
        return CliRunner().invoke(
            app, list(arguments), env={name: value or None for name, value in environment.items()}
        )

    def out(self, *arguments):
        """Standard output of what must succeed."""
        done = self.run(*arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.out(*arguments, "--json"))

    def lines(self, *arguments):
        return [line.split("\t") for line in self.out(*arguments).splitlines()]

    def error(self, *arguments, env=None):
        done = self.run(*arguments, env=env)
        assert done.exit_code == 1, done.output
        assert done.stdout == ""
        return done.stderr


def test_the_life_of_a_key(with_commands):
    def scenario(trunkline):
        made = trunkline.run(
            *("keys", "create", "dev", "--team", "filed", "--model", "fake*", "--scope", "inference"),
            *("--scope", "admin:read", "--expires", "90d", "--limit", "requests:600/60s", "--limit", "concurrent:4"),
            *("--budget", "50/month@Europe/Berlin", "--tag", "a", "--network", "127.0.0.0/8", "--priority", "batch"),
        )
        assert made.exit_code == 0, made.output
        secret = made.stdout.strip()
        assert secret.startswith("tl-")
        assert made.stdout == f"{secret}\n", "nothing else, so that a shell can take it"
        assert "made key dev of team filed" in made.stderr
        assert secret not in made.stderr
        whoami = dict(trunkline.lines("whoami", "--key", secret))
        assert (whoami["key"], whoami["scopes"]) == ("dev", "admin:read, inference")
        shown = dict(trunkline.lines("keys", "show", "dev"))
        assert shown["limits and budgets"] == "requests:600/60s concurrent:4 $50/month@Europe/Berlin"
        assert (shown["team"], shown["models"], shown["networks"]) == ("filed", "fake*", "127.0.0.0/8")
        assert shown["secrets"] == f"…{secret[-4:]}"
        rotated = trunkline.run("keys", "rotate", "dev", "--overlap", "12h")
        assert rotated.stdout.strip() not in {"", secret}
        assert "the old secret" in rotated.stderr
        assert trunkline.json("keys", "disable", "dev")["disabled"] is True
        assert "disabled" in trunkline.error("whoami", "--key", rotated.stdout.strip())
        trunkline.out("keys", "enable", "dev")
        trunkline.out("keys", "limit", "dev", "tokens:1000/1m")
        assert len(trunkline.json("keys", "show", "dev")["limits"]) == 3
        revoked = trunkline.run("keys", "revoke", "dev")
        assert (revoked.exit_code, revoked.stdout) == (0, "")
        assert "there is no key 'dev'" in trunkline.error("keys", "show", "dev")

    with_commands(scenario)


def test_keys_are_changed_and_listed(with_commands):
    def scenario(trunkline):
        made = trunkline.json("keys", "create", "--team", "filed", "--tag", "x", "--policy", "")
        assert made["id"].startswith("filed-")
        assert made["secret"].startswith("tl-")
        changed = trunkline.json(
            "keys", "set", made["id"], "--tag", "", "--expires", "2099-01-01", "--queue-wait-s", "3"
        )
        assert (changed["tags"], changed["expires_at"], changed["queue_wait_s"]) == ([], "2099-01-01T00:00:00Z", 3)
        assert trunkline.json("keys", "set", made["id"], "--expires", "never")["expires_at"] is None
        header, *rows = trunkline.lines("keys", "list")
        assert header == ["id", "team", "project", "secret", "scopes", "state", "limits and budgets", "declared in"]
        assert {row[0] for row in rows} == {made["id"], "writer", "reader", "caller", "meter", "nobody"}
        assert [row[-1] for row in rows if row[0] == "writer"] == ["file"]
        assert [row[0] for row in trunkline.lines("keys", "list", "--team", "filed")[1:]] == [made["id"]]
        assert trunkline.json("keys", "list", "--disabled") == []
        assert "secret" not in trunkline.json("keys", "list", "--prefix", "filed")[0]

    with_commands(scenario)


def test_teams_orgs_projects_and_tags(with_commands):
    def scenario(trunkline):
        trunkline.out("orgs", "create", "o", "--budget", "5000/month")
        trunkline.out("teams", "create", "t", "--org", "o", "--weight", "2", "--limit", "requests:9/1s")
        trunkline.out("projects", "create", "p", "--team", "t")
        trunkline.out("tags", "create", "nightly", "--limit", "concurrent:2")
        assert ["t", "o", "2", "requests:9/1s", ""] in trunkline.lines("teams", "list")
        assert ["filed", "acme", "1", "requests:100/60s", "file"] in trunkline.lines("teams", "list")
        assert trunkline.json("teams", "set", "t", "--limit", "", "--budget", "1/day")["limits"] == []
        assert trunkline.json("projects", "set", "p", "--budget", "3/total")["budgets"][0]["period"] == "total"
        assert trunkline.json("orgs", "set", "o", "--budget", "")["budgets"] == []
        assert dict(trunkline.lines("tags", "show", "nightly"))["limits and budgets"] == "concurrent:2"
        assert "still used" in trunkline.error("teams", "delete", "t")
        for plural, name in (("projects", "p"), ("teams", "t"), ("orgs", "o"), ("tags", "nightly")):
            trunkline.out(plural, "delete", name)
        assert "read-only" in trunkline.error("teams", "set", "filed", "--weight", "3")

    with_commands(scenario)


def test_limits_and_budgets(with_commands):
    def scenario(trunkline):
        trunkline.out("teams", "create", "t")
        trunkline.out("limits", "set", "team", "t", "requests:5/1m")
        trunkline.out("limits", "set", "model", "fake", "concurrent:7")
        trunkline.out("budgets", "set", "team", "t", "20/day@Europe/Berlin")
        rows = trunkline.lines("limits", "list")
        assert ["team", "t", "requests", "5", "60 s", ""] in rows
        assert ["model", "fake", "concurrent", "7", "", ""] in rows
        assert [row[1] for row in trunkline.lines("limits", "list", "--level", "team")[1:]] == ["filed", "t"]
        _, budget = trunkline.lines("budgets", "list", "--level", "team", "--owner", "t")
        assert budget[:7] == ["team", "t", "20", "day", "Europe/Berlin", "0", "20"]
        assert len(trunkline.json("budgets", "list")) == 2
        trunkline.out("limits", "remove", "team", "t", "requests", "--window", "60s")
        trunkline.out("budgets", "remove", "team", "t", "day")
        assert "no budget per day" in trunkline.error("budgets", "remove", "team", "t", "day")
        assert "is no limit" in trunkline.error("limits", "set", "team", "t", "many")
        assert "not 'galaxy'" in trunkline.error("limits", "set", "galaxy", "t", "concurrent:1")

    with_commands(scenario)


def test_the_audit_log(with_commands):
    def scenario(trunkline):
        trunkline.out("teams", "create", "t")
        trunkline.out("teams", "set", "t", "--weight", "3")
        trunkline.out("teams", "delete", "t")
        header, *rows = trunkline.lines("audit", "--kind", "team", "--since", "1h")
        assert header[:4] == ["when", "who", "from", "did"]
        assert [(row[3], row[4], row[5]) for row in rows] == [
            ("delete", "team t", ""),
            ("update", "team t", "weight"),
            ("create", "team t", ""),
        ]
        assert len(trunkline.lines("audit", "--limit", "2")) == 3
        assert trunkline.json("audit", "--action", "update")[0]["after"]["weight"] == 3
        assert trunkline.json("audit", "--actor", "nobody") == []

    with_commands(scenario)


def test_refusals_are_one_line_with_what_to_do(with_commands):
    def scenario(trunkline):
        assert "--key or TRUNKLINE_API_KEY" in trunkline.error("keys", "list", "--key", "tl-unknown")
        assert "admin:read" in trunkline.error("keys", "list", env={"TRUNKLINE_API_KEY": "tl-caller"})
        assert "admin:write" in trunkline.error("teams", "create", "x", "--key", "tl-reader")
        assert "no gateway answers at http://127.0.0.1:9" in trunkline.error(
            "keys", "list", "--url", "http://127.0.0.1:9"
        )
        assert "there is no team" in trunkline.error("keys", "create", "--team", "nobody")
        (trunkline.home / "key").unlink()
        assert "no key" in trunkline.error("keys", "list")
        assert trunkline.run("keys", "list", env={"TRUNKLINE_API_KEY": "tl-reader"}).exit_code == 0

    with_commands(scenario)


def test_as_a_process_of_its_own(with_commands):
    def scenario(trunkline):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(HOSTILE)}  # noqa: TID251
        environment |= {"TRUNKLINE_HOME": str(trunkline.home)}

        def done(*arguments):
            command = [sys.executable, "-m", "trunkline_standalone", *arguments]
            return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)

        made = done("keys", "create", "dev", "--team", "filed")
        assert made.returncode == 0, made.stderr
        assert made.stdout.startswith("tl-")
        assert made.stdout.count("\n") == 1
        told = done("whoami", "--key", made.stdout.strip(), "--json")
        assert json.loads(told.stdout)["id"] == "dev"
        failed = done("keys", "show", "nothing")
        assert (failed.returncode, failed.stdout) == (1, "")
        assert failed.stderr.startswith("trunkline: there is no key")

    with_commands(scenario)


def test_prices_at_run_time(with_commands):
    def scenario(trunkline):
        assert "input_usd: no price" in trunkline.error("prices", "set", "up", "fake")
        assert "there is no provider 'nobody'" in trunkline.error("prices", "set", "nobody", "*", "--input", "1")
        made = trunkline.json("prices", "set", "up", "fake*", "--team", "filed", "--input", "0.000018", "--output", "0")
        assert (made["model"], made["team"], made["output_usd"]) == ("fake*", "filed", 0)
        changed = trunkline.json("prices", "set", "up", "fake*", "--team", "filed", "--gpu-second", "2")
        assert (changed["id"], changed["input_usd"], changed["gpu_second_usd"]) == (made["id"], None, 2)
        _, *rows = trunkline.lines("prices", "list")
        assert [row[1:4] for row in rows] == [["up", "*", ""], ["up", "fake*", "filed"]]
        assert rows[1][4].endswith("GPU $2 a second, shared by 1")
        trunkline.out("prices", "remove", made["id"])
        assert len(trunkline.lines("prices", "list")) == 2

    with_commands(scenario)
