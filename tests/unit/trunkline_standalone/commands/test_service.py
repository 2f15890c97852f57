import json

import pytest

from trunkline_kit.errors import ConfigError
from trunkline_standalone.commands.service import SERVICES, Listeners, only_worker, run_worker


def file_of(tmp_path, **parts):
    file = tmp_path / "trunkline.yaml"
    file.write_text(json.dumps(parts))
    return file


def test_the_services_are_those_of_the_settings_and_the_gateway():
    assert set(SERVICES) == {"gateway", "router", "cache", "guardrails", "sre"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_has_something_to_serve_with(name):
    assert callable(SERVICES[name]())


def test_the_only_worker_need_not_be_named(tmp_path):
    assert only_worker(file_of(tmp_path, workers={"one": {}})) == "one"


@pytest.mark.parametrize(("workers", "known"), [({}, "has none"), ({"a": {}, "b": {}}, "has a, b")])
def test_else_the_name_is_needed(tmp_path, workers, known):
    with pytest.raises(ConfigError, match=f"--worker NAME is needed: .* {known}"):
        only_worker(file_of(tmp_path, workers=workers))


def test_a_worker_that_is_not_there(tmp_path):
    file = file_of(tmp_path, workers={"one": {}}, listen={"metrics": "127.0.0.1:0"})
    with pytest.raises(ConfigError, match=r"workers\.two"):
        run_worker("two", tmp_path, file, Listeners(grpc="127.0.0.1:0"), {})
