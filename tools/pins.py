"""Write constraints.txt: the exact version of everything that the project's extras bring into this environment."""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "constraints.txt"
PROJECT = "trunkline"
EXTRAS = ("cpu", "standalone", "test", "dev")
HEADER = "# Versions that the tests pass with. Written by tools/pins, used by tools/up and tools/test.\n"


def normal(name: str) -> str:
    """A package's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(extra: str) -> list[str]:
    """Our own dependencies, or with `extra` those of the extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines: list[str] = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return lines


def requirements(name: str, extra: str) -> list[Requirement]:
    """What an installed package asks for on this platform; for us, what pyproject.toml says now.

    Raises PackageNotFoundError.
    """
    if name == PROJECT:
        return [Requirement(line) for line in declared(extra)]
    asked = [Requirement(line) for line in distribution(name).requires or ()]
    return [one for one in asked if one.marker is None or one.marker.evaluate({"extra": extra})]


def closure(project: str, extras: tuple[str, ...]) -> dict[str, str]:
    """Name and version of everything `project` needs with `extras`, itself not included."""
    waiting = [(project, extra) for extra in ("", *extras)]
    seen = set(waiting)
    found = {}
    while waiting:
        name, extra = waiting.pop()
        found[name] = distribution(name).version
        for one in requirements(name, extra):
            new = {(normal(one.name), wanted) for wanted in ("", *one.extras)} - seen
            seen |= new
            waiting += sorted(new)
    del found[project]
    return found


def main() -> int:
    try:
        pins = closure(PROJECT, EXTRAS)
    except PackageNotFoundError as error:
        sys.exit(f"pins: {error.name} is not installed; run pip install -e '.[{','.join(EXTRAS)}]'")
    FILE.write_text(HEADER + "".join(f"{name}=={version}\n" for name, version in sorted(pins.items())))
    print(f"pins: {len(pins)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
