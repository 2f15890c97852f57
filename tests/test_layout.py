"""The house's limits on shape: sizes, names, what every service has, where tests are, what importing may do."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FUNCTION_LINES_MAX, TEST_LINES_MAX = 50, 70
"""Lines from `def` to the end."""
MODULE_LINES_MAX = 350
MAIN_LINES_MAX = 10
FILE_BYTES_MAX = 1 << 20
TESTS_PER_SOURCE_AIM, TESTS_PER_SOURCE_MIN = 1.0, 0.5
"""Lines of tests for a line of source; the second is a floor to raise as the first comes near."""

SERVICES = sorted(path for path in (ROOT / "services").iterdir() if path.is_dir())
PACKAGES = sorted(path for folder in ("libs", "services") for path in (ROOT / folder).glob("*/trunkline_*"))
SOURCES = sorted(
    path
    for folder in ("libs", "services", "tools")
    for path in (ROOT / folder).rglob("*.py")
    if "wire" not in path.parts
)
MODULES = [path for path in SOURCES if path.name not in {"__init__.py", "__main__.py"}]
TESTS = sorted((ROOT / "tests").rglob("*.py"))

BAD_NAMES = re.compile(r"^(utils?|common|helpers?|misc|managers?|.*_(utils?|helpers?|manager))$")
ELSEWHERE = re.compile(r"/work/|/root/|/home/\w+/|pypi\.org|registry\.npmjs|deb\.debian\.org")
"""Paths of one machine, and hosts that a package client should choose by itself."""

COVERED_ELSEWHERE = {
    "libs/kit/trunkline_kit/rpc": "tests/contract: one suite over local:, unix: and TCP",
    "tools/make_golden.py": "run by hand, where llama.cpp is",
    "tools/make_decoder_golden.py": "run by hand, where transformers is",
    "libs/testkit/trunkline_testkit": "by the tests that use it",
    "tools/bench.d": "run by hand, against peers",
}
"""What no test imports, and why."""
TRIVIAL_LINES_MAX = 40
"""A module this short, or one that holds no function, may do without a test of its own."""


def tracked_files() -> list[Path]:
    """What is or would be committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return [path for path in paths if path.is_file()]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def line_count(path: Path) -> int:
    return len(path.read_text().splitlines())


def functions(path: Path) -> list[tuple[str, int]]:
    """Name and length of every function, decorators not counted."""
    return [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_functions_are_short():
    found = [
        f"{name_of(path)}: {name} has {lines} lines, more than {limit}"
        for paths, limit in ((SOURCES, FUNCTION_LINES_MAX), (TESTS, TEST_LINES_MAX))
        for path in paths
        for name, lines in functions(path)
        if lines > limit
    ]
    assert not found, "\n".join(found)


def test_modules_are_short():
    found = [
        f"{name_of(path)} has {lines} lines, more than {MODULE_LINES_MAX}"
        for path in SOURCES
        if (lines := line_count(path)) > MODULE_LINES_MAX
    ]
    assert not found, "\n".join(found)


def test_tests_keep_up_with_source():
    own = [path for path in SOURCES if not name_of(path).startswith(("libs/testkit", "tools/bench.d"))]
    source, tests = sum(map(line_count, own)), sum(map(line_count, TESTS))
    ratio = tests / source
    told = f"{tests} lines of tests for {source} of source: {ratio:.2f}, the aim is {TESTS_PER_SOURCE_AIM}"
    print(told)  # noqa: T201 - pytest shows it with -s
    assert ratio >= TESTS_PER_SOURCE_MIN, told


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_every_service_has_the_same_shape(service):
    package = service / f"trunkline_{service.name}"
    missing = [
        name_of(path)
        for path in (service / "README.md", *(package / name for name in ("__main__.py", "app.py", "config.py")))
        if not path.exists()
    ]
    assert not missing, f"missing: {', '.join(missing)}"
    assert line_count(package / "__main__.py") <= MAIN_LINES_MAX
    assert re.search(r"^## Decisions$", (service / "README.md").read_text(), re.MULTILINE), "README has no ## Decisions"


def imported_by_tests() -> set[str]:
    """Dotted names that tests import: modules, and names out of them."""
    found = set()
    for path in TESTS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def dotted(module: Path) -> str:
    """`services/cache/trunkline_cache/keys.py` is `trunkline_cache.keys`, `tools/check.py` is `check`."""
    root = (
        ROOT / "tools" if module.is_relative_to(ROOT / "tools") else ROOT.joinpath(*module.relative_to(ROOT).parts[:2])
    )
    return ".".join(module.relative_to(root).with_suffix("").parts)


def needs_test(module: Path) -> bool:
    covered = any(name_of(module).startswith(prefix) for prefix in COVERED_ELSEWHERE)
    return not covered and line_count(module) > TRIVIAL_LINES_MAX and bool(functions(module))


def test_every_module_is_tested_directly():
    """In the mirrored place, or by a contract, integration or end-to-end test that imports it."""
    imported = imported_by_tests()
    missing = [name_of(module) for module in MODULES if needs_test(module) and dotted(module) not in imported]
    assert not missing, "no test imports:\n" + "\n".join(missing)


def test_unit_tests_mirror_packages():
    """tests/unit/PACKAGE/… tests PACKAGE, or the tools."""
    known = {package.name for package in PACKAGES} | {"tools"}
    folders = {
        path.relative_to(ROOT / "tests" / "unit").parts[0]
        for path in TESTS
        if path.is_relative_to(ROOT / "tests" / "unit")
    }
    assert folders - {"conftest.py"} <= known


def test_what_is_covered_elsewhere_exists():
    assert all((ROOT / path).exists() for path in COVERED_ELSEWHERE)


def test_names_say_what_is_inside():
    paths = {part for path in SOURCES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not [name for name in paths if BAD_NAMES.match(name)]


def test_no_large_files():
    large = [name_of(path) for path in tracked_files() if path.stat().st_size > FILE_BYTES_MAX]
    assert not large, f"over {FILE_BYTES_MAX} bytes: {large}"


def test_nothing_names_a_machine_or_a_registry():
    found = []
    for path in tracked_files():
        if path == Path(__file__).resolve():
            continue
        text = path.read_bytes().decode(errors="replace")
        found += [
            f"{name_of(path)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
            for match in ELSEWHERE.finditer(text)
        ]
    assert not found, "\n".join(found)


IMPORT_ALL = """
import importlib, pkgutil, socket, sys, threading, time

def refuse(*arguments, **options):
    raise AssertionError("importing reached for the network")

def load(module):
    start_s = time.perf_counter()
    loaded = importlib.import_module(module)
    print(f"{time.perf_counter() - start_s:.3f} {module}")
    return loaded

socket.socket.connect = socket.socket.bind = socket.getaddrinfo = refuse
for package in sys.argv[1:]:
    for found in pkgutil.walk_packages(load(package).__path__, f"{package}."):
        if not found.name.endswith("__main__"):
            load(found.name)
assert threading.active_count() == 1, threading.enumerate()
"""


@pytest.mark.timeout(180)
def test_importing_does_nothing(tmp_path):
    """No network, no thread, no file, no environment needed, nothing printed but what this test prints."""
    names = [package.name for package in PACKAGES]
    environment = {"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", IMPORT_ALL, *names]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
    lines = [line.split() for line in done.stdout.splitlines()]
    assert all(len(line) == 2 for line in lines), done.stdout
    slowest = sorted(((float(took), module) for took, module in lines), reverse=True)[:5]
    told = ", ".join(f"{module} {took * 1000:.0f} ms" for took, module in slowest)
    print(f"slowest imports: {told}")  # noqa: T201 - pytest shows it with -s
