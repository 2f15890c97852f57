"""Run one of the benchmarks in tools/bench.d. Each prints what one operation costs and says on what machine."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

BENCHES = Path(__file__).resolve().parent / "bench.d"
Main = Callable[[list[str]], int]


def names(folder: Path) -> list[str]:
    """Benchmarks that can be run."""
    return sorted(file.stem for file in folder.glob("[a-z]*.py"))


def summary(file: Path) -> str:
    """The first line of a benchmark's docstring, read without running it."""
    first = file.read_text().lstrip().removeprefix('"""').splitlines()[:1]
    return first[0].strip().removesuffix('"""') if first else ""


def load(file: Path) -> Main:
    """The benchmark's `main`."""
    spec = importlib.util.spec_from_file_location(f"bench_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    main: Main = module.main
    return main


def usage(folder: Path) -> str:
    """What can be run and how."""
    lines = [f"  {name:<12} {summary(folder / f'{name}.py')}" for name in names(folder)] or ["  (none yet)"]
    head = ["usage: tools/bench NAME [--json] [ARGUMENTS…]", "", (__doc__ or "").strip(), ""]
    tail = ["", "--json prints one JSON object instead of a table. `tools/bench NAME --help` says what else there is."]
    return "\n".join([*head, *lines, *tail])


def main(argv: list[str], folder: Path = BENCHES) -> int:
    if not argv or argv[0] in {"-h", "--help"}:
        print(usage(folder))
        return 0
    name, *rest = argv
    if name not in names(folder):
        print(f"bench: no benchmark {name!r}\n\n{usage(folder)}", file=sys.stderr)
        return 2
    sys.path.insert(0, str(folder))  # benchmarks may share modules that begin with an underscore
    return load(folder / f"{name}.py")(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
