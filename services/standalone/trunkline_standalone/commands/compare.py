"""`trunkline models compare`: what each variant of a model costs and loses."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from trunkline_kit.errors import InvalidRequest, ModelError
from trunkline_standalone.columns import Column, Shape, print_table
from trunkline_standalone.home import make_home
from trunkline_standalone.preparation import Wanted, prepare_all
from trunkline_worker.catalogue import ModelKind, in_catalogue
from trunkline_worker.comparison import Report, VariantReport, compare, passages
from trunkline_worker.convert.precision import Precision
from trunkline_worker.model_store import open_model
from trunkline_worker.runtimes.session import SessionConfig

_NUMBER = Shape.NUMBER
_COLUMNS = (
    Column(name="Variant", shape=Shape.WHOLE),
    Column(name="Size MB", shape=_NUMBER),
    Column(name="Perplexity", shape=_NUMBER),
    Column(name="KL to f32", shape=_NUMBER),
    Column(name="Same choice %", shape=_NUMBER),
    Column(name="Load s", shape=_NUMBER, spare=1),
    Column(name="Tokens/s", shape=_NUMBER),
)
_FIELDS = ("variant", "size_bytes", "perplexity", "divergence_nats", "same_choice", "load_s", "tokens_per_s")


class CompareOptions(msgspec.Struct, frozen=True, kw_only=True):
    """As given on the command line."""

    name: str
    variants: tuple[str, ...]
    threads: int = 0
    as_json: bool = False


def run_compare(home: Path, options: CompareOptions) -> None:
    """A table on a terminal, tab-separated lines in a pipe, JSON when asked."""
    chosen = precisions(options.variants)
    folder = make_home(home).path
    if in_catalogue(options.name):
        prepare_all(folder, [Wanted(options.name, one) for one in chosen])
    reference, *others = [open_model(folder, options.name, one) for one in chosen]
    if reference.kind is not ModelKind.GENERATE:
        raise ModelError(f"{options.name} is an encoder; models that generate can be compared")
    with shown() as report:
        lines = compare(reference, others, passages(), SessionConfig(threads=options.threads), report)
    show(lines, as_json=options.as_json)


def precisions(names: Sequence[str]) -> list[Precision]:
    """Float32 first, then the others in the order given. Raises InvalidRequest for an unknown one."""
    known = [one.value for one in Precision]
    for name in names:
        if name.strip() not in known:
            raise InvalidRequest(f"--variants takes some of {', '.join(known)}, not {name!r}")
    return list(dict.fromkeys([Precision.F32, *(Precision(name.strip()) for name in names)]))


def show(lines: Sequence[VariantReport], *, as_json: bool) -> None:
    if as_json:
        _say(msgspec.json.format(msgspec.json.encode(lines), indent=2).decode())
        return
    console = Console()
    if console.is_terminal:
        print_table(_COLUMNS, [cells(line) for line in lines], console)
        return
    rows = ["\t".join(str(getattr(line, field)) for field in _FIELDS) for line in lines]
    _say("\n".join(["\t".join(_FIELDS), *rows]))


def cells(line: VariantReport) -> tuple[str, ...]:
    """A line of the table, for people."""
    return (
        line.variant,
        f"{line.size_bytes / 1e6:.0f}",
        f"{line.perplexity:.2f}",
        f"{line.divergence_nats:.4f}",
        f"{100 * line.same_choice:.1f}",
        f"{line.load_s:.1f}",
        f"{line.tokens_per_s:.0f}",
    )


@contextmanager
def shown() -> Iterator[Report]:
    """A bar for each variant on a terminal; a line when one begins elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def report(variant: str, done: int, total: int) -> None:
            if variant not in tasks:
                tasks[variant] = bars.add_task(f"reading with {variant}", total=total)
                if not console.is_terminal:
                    print(f"reading with {variant}", file=sys.stderr, flush=True)  # noqa: T201 - for people
            bars.update(tasks[variant], completed=done)

        yield report


def _say(text: str) -> None:
    print(text, file=sys.stdout)  # noqa: T201 - the command's answer
