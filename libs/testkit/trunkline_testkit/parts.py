"""What a test needs from the machine: real parts that may be missing, and free addresses."""

import os
import socket
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest


def parts_folder() -> Path:
    """Where `tools/test` unpacks real parts: outside the checkout, so that a clean checkout finds them there."""
    given = os.environ.get("TRUNKLINE_PARTS")  # noqa: TID251 - a setting of the test run, not of the product
    return Path(given or "~/.cache/trunkline/parts").expanduser()


def require_or_skip(part: str, why: str = "", *, present: bool = False) -> None:
    """Go on if `present`; else skip on a laptop, and fail under `CI=true`: green must never mean "did not run"."""
    if present:
        return
    reason = f"{part} is not here{': ' + why if why else ''}"
    if os.environ.get("CI", "").lower() == "true":  # noqa: TID251 - the one setting that belongs to the test run itself
        pytest.fail(f"{reason}; under CI every real part has to be there")
    pytest.skip(reason)


def require_import(module: str, why: str = "") -> None:
    """`require_or_skip` for an optional Python package."""
    require_or_skip(f"Python package {module}", why, present=find_spec(module) is not None)


def require_program(program: str, why: str = "") -> str:
    """`require_or_skip` for an executable among the parts or on PATH; returns its path."""
    path = which(program, path=str(parts_folder() / "bin")) or which(program)
    require_or_skip(f"program {program}", why, present=path is not None)
    return path or program


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that was free a moment ago. Prefer listening on port 0; this is for programs that cannot."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
