"""values.yaml, its schema, and what is refused before it reaches a cluster."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

CHART = Path(__file__).resolve().parents[2] / "charts" / "trunkline"
WORKER = "smollm2-135m-instruct"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"gatway": {}}, "gatway"),
        ({"gateway": {"replicas": "three"}}, "/gateway/replicas"),
        ({"gateway": {"replica": 3}}, "replica"),
        ({"gateway": {"service": {"port": 0}}}, "/gateway/service/port"),
        ({"gateway": {"discovery": "gossip"}}, "/gateway/discovery"),
        ({"router": {"autoscaling": {"enabled": True}}}, "autoscaling"),
        ({"imagePullPolicy": "Sometimes"}, "imagePullPolicy"),
        ({"images": {"slim": {"digest": "sha256:abc"}}}, "digest"),
        ({"gateway": {"secretEnv": {"KEY": {"value": "sk-123"}}}}, "secretEnv"),
        ({"gateway": {"secretEnv": {"NO-DASH": {"name": "a", "key": "b"}}}}, "NO-DASH"),
        ({"workers": {WORKER: {"settings": {"slots": 0}}}}, "slots"),
        ({"workers": {WORKER: {"settings": {"modle": "x"}}}}, "modle"),
        ({"workers": {"Upper": {"replicas": 1, "settings": {}}}}, "Upper"),
        ({"config": {"listen": {"http": "0.0.0.0:1"}}}, "listen"),
        ({"config": {"server": {"drain_grace": 3}}}, "drain_grace"),
        ({"config": {"keys": [{"id": "a", "secret": "tl-plain"}]}}, "secret"),
        ({"config": {"models": {"m": {"deployments": []}}}}, "deployments"),
        (
            {"config": {"models": {"m": {"deployments": [{"provider": "local", "model": "nobody"}]}}}},
            'workers has no "nobody"',
        ),
    ],
)
def test_a_mistake_is_refused_with_its_place(helm, values, said):
    answer = helm.template(values)
    assert answer.returncode != 0
    assert said in answer.stderr


def test_the_schema_is_part_of_the_packaged_chart(helm, tmp_path):
    """A chart that keeps its schema out of the package lets every mistake through."""
    assert helm.run("package", CHART, "--destination", tmp_path).returncode == 0
    (package,) = tmp_path.glob("*.tgz")
    shutil.unpack_archive(package, tmp_path / "unpacked")
    answer = helm.template({"gateway": {"replicas": "abc"}}, tmp_path / "unpacked" / "trunkline")
    assert "got string, want integer" in answer.stderr


def leaves(values, path=()):
    if isinstance(values, dict) and values:
        for name, value in values.items():
            yield from leaves(value, (*path, name))
    else:
        yield path


def test_every_key_of_values_is_in_the_schema():
    schema = json.loads((CHART / "values.schema.json").read_text())

    def inside(node, name):
        while "$ref" in node:
            node = schema["$defs"][node["$ref"].removeprefix("#/$defs/")]
        return node.get("properties", {}).get(name) or node.get("additionalProperties")

    for path in leaves(yaml.safe_load((CHART / "values.yaml").read_text())):
        node = schema
        for name in path:
            node = inside(node, name)
            assert isinstance(node, dict), f"{'.'.join(path)} is not in values.schema.json"


def test_every_key_of_values_is_used():
    templates = "".join(file.read_text() for file in (CHART / "templates").iterdir())
    for path in leaves(yaml.safe_load((CHART / "values.yaml").read_text())):
        if path[0] not in {"config", "workers", "images"}:
            assert path[-1] in templates, f"{'.'.join(path)} is used nowhere"
