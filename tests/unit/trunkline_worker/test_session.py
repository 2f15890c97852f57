import pytest

from trunkline_kit.errors import ConfigError, ModelError
from trunkline_worker.runtimes import session as subject
from trunkline_worker.runtimes.session import Device, SessionConfig, check_installation, open_session, session_options


def test_exactly_one_package(monkeypatch):
    check_installation()
    monkeypatch.setattr(subject, "_is_installed", lambda _: True)
    with pytest.raises(ConfigError, match="both installed"):
        check_installation()
    monkeypatch.setattr(subject, "_is_installed", lambda _: False)
    with pytest.raises(ConfigError, match="not installed"):
        check_installation()


def test_a_device_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no CUDAExecutionProvider"):
        open_session(tmp_path / "model.onnx", SessionConfig(device=Device.CUDA))


def test_a_graph_that_cannot_be_loaded_is_named(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match=r"model\.onnx cannot be loaded"):
        open_session(tmp_path / "model.onnx", SessionConfig())


def test_threads_and_spinning():
    options = session_options(SessionConfig(threads=3))
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
