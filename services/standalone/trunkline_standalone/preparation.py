"""Preparing models, with a bar on a terminal and plain lines elsewhere."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from trunkline_worker.catalogue import find_model
from trunkline_worker.convert.precision import Precision
from trunkline_worker.model_store import require_known
from trunkline_worker.own_models import OwnModel
from trunkline_worker.prepare import prepare, prepare_own
from trunkline_worker.progress import Progress, Step

STEPS = {
    Step.WAIT: "waiting for another process that prepares it",
    Step.DOWNLOAD: "downloading",
    Step.CHECK: "checking",
    Step.UNPACK: "unpacking",
    Step.CONVERT: "converting",
    Step.INSTALL: "putting in place",
    Step.DONE: "ready",
}


class Wanted(Struct, frozen=True):
    """A model in one variant."""

    name: str
    variant: Precision | None
    """None: the model's own default."""
    own: OwnModel | None = None
    """What to make it from, if the catalogue does not have it."""


def wanted(name: str, variant: str | None = None, home: Path | None = None) -> Wanted:
    """Raises ModelNotFound for a name that neither the catalogue has nor is prepared in `home`."""
    if home is None:
        find_model(name)
    else:
        require_known(home, name)
    return Wanted(name, None if variant is None else Precision(variant))


def prepare_all(home: Path, models: Sequence[Wanted]) -> None:
    """Prepare what is missing, one after the other. Blocks. Raises ModelError."""
    console = Console(stderr=True)
    show = bars(console) if console.is_terminal else lines()
    with show as report:
        for model in models:
            if model.own is None:
                prepare(model.name, home, report, model.variant)
            else:
                prepare_own(model.own, home, report, model.variant or Precision.Q8)


@contextmanager
def bars(console: Console) -> Iterator[Progress]:
    """One bar a model; it appears with the first step that takes time, so that a second start shows none."""
    columns = (TextColumn("{task.fields[model]}"), TextColumn("{task.description}"), BarColumn())
    size = TextColumn("{task.fields[size]}")
    with Bars(*columns, size, TimeElapsedColumn(), console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def report(model: str, step: Step, done_bytes: int, total_bytes: int) -> None:
            if step is Step.DONE and model not in tasks:
                return
            if model not in tasks:
                tasks[model] = progress.add_task("", model=model, size="", total=None)
            # Only a download says how far it is; the bar of any other step moves without saying so.
            counted = step is Step.DOWNLOAD and total_bytes > 0
            size = f"{done_bytes / 1e6:.1f} of {total_bytes / 1e6:.1f} MB" if counted else ""
            done, total = (1, 1) if step is Step.DONE else (done_bytes, total_bytes if counted else None)
            task = next(task for task in progress.tasks if task.id == tasks[model])
            # `update` cannot take a total back, so a bar that is to pulse again is told so here.
            task.total = total
            begins = task.description != STEPS[step]
            progress.update(tasks[model], description=STEPS[step], completed=done, size=size, refresh=begins)

        yield report


@contextmanager
def lines() -> Iterator[Progress]:
    """A line when a step begins, and a tenth of a download further."""
    last: dict[str, tuple[Step, int]] = {}

    def report(model: str, step: Step, done_bytes: int, total_bytes: int) -> None:
        if step is Step.DONE and model not in last:
            return
        tenth = 10 * done_bytes // total_bytes if total_bytes else 0
        if last.get(model) == (step, tenth):
            return
        last[model] = (step, tenth)
        share = f" {10 * tenth} %" if step is Step.DOWNLOAD and total_bytes else ""
        print(f"{model}: {STEPS[step]}{share}", file=sys.stderr, flush=True)  # noqa: T201 - for people

    yield report
