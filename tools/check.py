"""Format, lint, types, imports, contracts and layout. Runs every step, then fails with what the failing tools said."""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTHON = str(BIN / "python")
GREEN, RED, PLAIN = "\033[32m", "\033[31m", "\033[0m"


@dataclass(frozen=True)
class Step:
    """One tool. Its command exits non-zero when it finds something."""

    name: str
    command: tuple[str, ...]
    fix: tuple[str, ...] = ()
    """The command that mends what it can, under --fix."""


STEPS = (
    Step("format", (str(BIN / "ruff"), "format", "--check", "."), (str(BIN / "ruff"), "format", ".")),
    Step("lint", (str(BIN / "ruff"), "check", "."), (str(BIN / "ruff"), "check", "--fix", ".")),
    Step("types", (str(BIN / "mypy"), "libs", "services", "tests", "tools")),
    Step("imports", (str(BIN / "lint-imports"), "--no-logo")),
    Step("proto drift", (PYTHON, "tools/genproto.py", "--check"), (PYTHON, "tools/genproto.py")),
    Step("proto lint", (PYTHON, "tools/lint_proto.py"), (PYTHON, "tools/lint_proto.py", "--update")),
    Step("chart schema", (PYTHON, "tools/chart_schema.py", "--check"), (PYTHON, "tools/chart_schema.py")),
    Step("calls", (PYTHON, "tools/lint_calls.py")),
    Step("layout", (PYTHON, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "tests/test_layout.py")),
)


@dataclass(frozen=True)
class Outcome:
    """How a step went."""

    step: Step
    passed: bool
    output: str
    took_s: float


def run(step: Step, *, fix: bool) -> Outcome:
    """Run the step's command in the checkout, after mending when asked to."""
    start_s = time.monotonic()
    if fix and step.fix:
        subprocess.run(step.fix, cwd=ROOT, capture_output=True, check=False)
    result = subprocess.run(step.command, cwd=ROOT, capture_output=True, text=True, check=False)
    output = (result.stdout + result.stderr).strip()
    return Outcome(step, result.returncode == 0, output, time.monotonic() - start_s)


def table(outcomes: Iterator[Outcome], *, colour: bool) -> list[Outcome]:
    """Print a line a step as it ends. Returns all of them."""
    done = []
    for outcome in outcomes:
        verdict = "ok" if outcome.passed else "FAILED"
        if colour:
            verdict = f"{GREEN if outcome.passed else RED}{verdict}{PLAIN}"
        print(f"{outcome.step.name:<12} {outcome.took_s:6.1f} s  {verdict}", flush=True)
        done.append(outcome)
    return done


def report(outcomes: Sequence[Outcome]) -> str:
    """What the failing tools said."""
    parts = [f"── {outcome.step.name} ──\n{outcome.output}" for outcome in outcomes if not outcome.passed]
    return "\n\n".join(parts)


def main(argv: list[str] | None = None) -> int:
    names = [step.name.replace(" ", "-") for step in STEPS]
    parser = argparse.ArgumentParser(prog="tools/check", description=__doc__)
    parser.add_argument("--fix", action="store_true", help="mend what the tools can mend, then check")
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(names)}; all when left out")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.steps) - set(names):
        parser.error(f"no step {', '.join(sorted(unknown))}")
    wanted = [step for step, name in zip(STEPS, names, strict=True) if not arguments.steps or name in arguments.steps]
    outcomes = table((run(step, fix=arguments.fix) for step in wanted), colour=sys.stdout.isatty())
    if said := report(outcomes):
        print(f"\n{said}")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
