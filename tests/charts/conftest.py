"""The chart, rendered by the real helm."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from trunkline_testkit.parts import require_program

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "trunkline"


class Helm:
    """`helm template` of the chart, by values; each set is rendered once."""

    def __init__(self, program, folder):
        self._program = program
        self._folder = folder
        self._rendered = {}

    def run(self, *arguments):
        environment = {"HOME": str(self._folder), "HELM_CACHE_HOME": str(self._folder)}
        command = [self._program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    def template(self, values, chart=CHART):
        """Helm's answer to these values, a mapping or a file."""
        file = values
        if not isinstance(values, Path):
            file = self._folder / "values.json"
            file.write_text(json.dumps(values))
        return self.run("template", "demo", chart, "--namespace", "ai", "--values", file)

    def render(self, values):
        """Documents. Fails the test with helm's words if it refuses."""
        key = json.dumps(values, default=str)
        if key not in self._rendered:
            answer = self.template(values)
            assert answer.returncode == 0, answer.stderr
            self._rendered[key] = [document for document in yaml.safe_load_all(answer.stdout) if document]
        return self._rendered[key]


@pytest.fixture(scope="session")
def helm(tmp_path_factory):
    return Helm(require_program("helm", "tools/parts.py fetches it"), tmp_path_factory.mktemp("helm"))
