"""The Dockerfile and skaffold.yaml: what can be said about them without a container engine."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "tools" / "images" / "Dockerfile"
IMAGES = {"trunkline": "slim", "trunkline-ml": "ml", "trunkline-ml-gpu": "ml-gpu"}
"""Image to the stage that makes it."""


def stages():
    """Name to instructions, continued lines joined."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    found, name = {}, ""
    for line in (line.strip() for line in text.splitlines()):
        if match := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            name = match[2]
            found[name] = [f"FROM {match[1]}"]
        elif line and not line.startswith("#") and name:
            found[name].append(line)
    return found


@pytest.fixture(scope="module")
def skaffold():
    return yaml.safe_load((ROOT / "skaffold.yaml").read_text())


def values():
    return yaml.safe_load((ROOT / "charts" / "trunkline" / "values.yaml").read_text())


@pytest.mark.parametrize("target", IMAGES.values())
def test_images_do_not_run_as_root(target):
    assert stages()[target][-1] == "USER 65532:65532"


def test_stages_build_on_what_is_there():
    found = stages()
    for lines in found.values():
        assert lines[0].startswith("FROM python:${PYTHON}") or lines[0].removeprefix("FROM ") in found
        copied = [re.search(r"--from=(\S+)", line) for line in lines]
        assert all(match[1] in found for match in copied if match)


def test_what_is_copied_exists_and_reaches_the_builder():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for lines in stages().values():
        for line in lines:
            if line.startswith("COPY ") and "--from" not in line:
                for source in line.split()[1:-1]:
                    assert (ROOT / source).exists(), source
                    assert f"!{source}" in ignored


def test_the_workers_extras_are_exclusive():
    found = stages()
    assert '".[cpu]"' in " ".join(found["build-ml"])
    assert '".[gpu]"' in " ".join(found["build-ml-gpu"])
    assert "[" not in found["build-slim"][-1]


def test_versions_are_the_ones_that_were_tested():
    installs = [line for lines in stages().values() for line in lines if "pip install" in line]
    assert len(installs) == 3
    assert all("-c constraints.txt" in line for line in installs)


def test_the_chart_deploys_the_images_that_are_built():
    assert {image["repository"] for image in values()["images"].values()} == set(IMAGES)


def artifacts(section):
    return {one["image"]: one["docker"] for one in section["build"]["artifacts"]}


def test_skaffold_builds_the_images_of_the_chart(skaffold):
    gpu = next(profile for profile in skaffold["profiles"] if profile["name"] == "gpu")
    assert set(artifacts(skaffold)) == {"trunkline", "trunkline-ml"}
    assert set(artifacts(gpu)) == set(IMAGES)
    for image, docker in {**artifacts(skaffold), **artifacts(gpu)}.items():
        assert docker["target"] == IMAGES[image]
        assert ROOT / docker["dockerfile"] == DOCKERFILE


def test_skaffold_sets_values_that_the_chart_has(skaffold):
    (release,) = skaffold["deploy"]["helm"]["releases"]
    patches = [patch for profile in skaffold["profiles"] for patch in profile.get("patches", [])]
    added = {p["path"].rpartition("/")[2]: p["value"] for p in patches if p["op"] == "add"}
    built = {re.sub(r"\W", "_", image) for image in IMAGES}
    for path, template in {**release["setValueTemplates"], **added}.items():
        node = values()
        for name in path.split("."):
            node = node[name]
        match = re.fullmatch(r"\{\{\.IMAGE_(REPO|TAG|DIGEST)_(\w+)\}\}", template)
        assert match is not None
        assert match[2] in built


def test_paths_in_skaffold_exist(skaffold):
    (release,) = skaffold["deploy"]["helm"]["releases"]
    assert (ROOT / release["chartPath"] / "Chart.yaml").exists()
    for profile in skaffold["profiles"]:
        for patch in profile["patches"]:
            if patch["path"].endswith("/valuesFiles"):
                assert all((ROOT / file).exists() for file in patch["value"])
    assert re.fullmatch(r"skaffold/v4beta\d+", skaffold["apiVersion"])
