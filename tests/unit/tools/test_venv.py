"""What tools/up and tools/test say when an environment cannot be made: one line, with the way out."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def shell(script, root, **environment):
    """Run `script` as tools/up would, with `root` for the checkout."""
    full = f'root={root}; source "{ROOT}/tools/venv.sh"; {script}'
    variables = {"PATH": os.defpath, **environment}
    command = ["bash", "-euo", "pipefail", "-c", full, "tools/up"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)


def program(folder, name, script):
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose .venv has a python that notes what it is asked for."""
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("")
    bin_folder = tmp_path / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    program(
        bin_folder, "python", f'echo "$@" >> {tmp_path}/asked; cat {tmp_path}/trouble 2>/dev/null && exit 1; exit 0'
    )
    return tmp_path


def asked(checkout):
    file = checkout / "asked"
    return file.read_text().splitlines() if file.exists() else []


def test_an_old_python_is_not_taken(tmp_path):
    old = program(tmp_path, "python-old", "exit 1")
    answer = shell("find_python", tmp_path, TRUNKLINE_PYTHON=str(old))
    assert answer.returncode == 1
    assert answer.stderr == (
        "tools/up: needs Python 3.11 or newer; on Debian or Ubuntu: apt-get install python3 python3-venv\n"
    )


def test_the_given_python_is_taken(tmp_path):
    new = program(tmp_path, "python-new", "exit 0")
    assert shell("find_python", tmp_path, TRUNKLINE_PYTHON=str(new)).stdout.strip() == str(new)


def test_installing_happens_once_and_again_when_a_pin_changes(checkout):
    for _ in range(2):
        assert shell("install_project cpu,test", checkout).returncode == 0
    assert len(asked(checkout)) == 2, "pip itself, then the project"
    assert asked(checkout)[1].endswith(f"-c {checkout}/constraints.txt --editable {checkout}[cpu,test]")
    (checkout / "constraints.txt").write_text("msgspec==0.22.0\n")
    assert shell("install_project cpu,test", checkout).returncode == 0
    assert len(asked(checkout)) == 4


def test_other_extras_are_installed_beside(checkout):
    shell("install_project cpu", checkout)
    shell("install_project cpu,test", checkout)
    shell("install_project cpu", checkout)
    assert len(asked(checkout)) == 4


@pytest.mark.parametrize(
    ("pip_says", "said"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("Failed to establish a new connection: [Errno 101]", "no network"),
        (
            "noise\nERROR: no matching distribution for x\nmore",
            "installing failed: ERROR: no matching distribution for x",
        ),
    ],
)
def test_a_failure_is_one_line_and_is_tried_again(checkout, pip_says, said):
    (checkout / "trouble").write_text(pip_says)
    answer = shell("install_project cpu", checkout)
    assert answer.returncode == 1
    assert said in answer.stderr.splitlines()[-1]
    (checkout / "trouble").unlink()
    assert shell("install_project cpu", checkout).returncode == 0


def test_gpu_stays_gpu(checkout):
    assert shell("device_extra", checkout).stdout == "cpu\n"
    (checkout / ".venv" / "lib" / "python3.11" / "site-packages" / "onnxruntime_gpu-1.31.1.dist-info").mkdir(
        parents=True
    )
    assert shell("device_extra", checkout).stdout == "gpu\n"
