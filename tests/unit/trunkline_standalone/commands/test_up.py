import json
import logging
import socket
import stat

import pytest

from trunkline_kit.config_source import open_source
from trunkline_kit.errors import ConfigError, Conflict
from trunkline_standalone.commands.up import free_address, models_of, set_up_logs_of, settled, with_free_ports
from trunkline_standalone.config import default_settings
from trunkline_standalone.home import make_home


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def source(tmp_path, **parts):
    file = tmp_path / "trunkline.yaml"
    file.write_text(json.dumps(parts))
    return open_source(file)


def test_a_free_address_is_kept():
    assert free_address("127.0.0.1:0") == "127.0.0.1:0"


def test_for_a_taken_one_another_is_found(taken):
    found = free_address(taken)
    assert found != taken
    assert found.startswith("127.0.0.1:")


def test_the_http_port_must_be_free(taken):
    port = int(taken.rpartition(":")[2])
    with pytest.raises(Conflict, match=rf"127\.0\.0\.1:{port}.*--port"):
        settled(None, port)


def test_without_a_file_other_ports_give_way_and_it_is_said(tmp_path):
    """9080 and 9464 may be taken on this machine or not; what is settled on is free either way."""
    settings, notes = with_free_ports(settled(None, 0))
    moved = (settings.listen.grpc != "127.0.0.1:9080") + (settings.listen.metrics != "127.0.0.1:9464")
    assert len(notes) == moved


def test_with_a_file_the_addresses_are_its_own(tmp_path, taken):
    assert settled(source(tmp_path, listen={"grpc": taken, "http": "127.0.0.1:0"}), None).listen.grpc == taken


def test_a_file_that_cannot_be_served(tmp_path):
    with pytest.raises(ConfigError, match=r"routes\.auto\.otherwise"):
        settled(source(tmp_path, routes={"auto": {"otherwise": ["none"]}}), 0)


def test_only_models_of_the_catalogue_are_prepared(tmp_path):
    assert [model.name for model in models_of(default_settings(), tmp_path)] == [
        "smollm2-135m-instruct",
        "all-minilm-l6-v2",
    ]
    own = {"own": {"deployments": [{"provider": "local", "model": "path:/models/own"}]}}
    settings = settled(source(tmp_path, providers={"local": {"kind": "worker"}}, models=own), 0)
    assert models_of(settings, tmp_path) == []


def test_logs_go_to_a_private_file_as_json_and_warnings_to_people(tmp_path, capsys):
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    home = make_home(tmp_path)
    try:
        with set_up_logs_of(home):
            logging.getLogger("x").info("quiet %s", 1)
            logging.getLogger("x").warning("loud")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    lines = [json.loads(line) for line in home.log_file.read_text().splitlines()]
    assert [line["message"] for line in lines] == ["quiet 1", "loud"]
    assert stat.S_IMODE(home.logs.stat().st_mode) == 0o700
    said = capsys.readouterr().err
    assert "loud" in said
    assert "quiet" not in said
