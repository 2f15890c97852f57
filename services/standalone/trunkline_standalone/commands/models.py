"""`trunkline models prepare | list | verify`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from trunkline_kit.errors import InvalidRequest, ModelError
from trunkline_standalone.config import ENCODER, GENERATOR
from trunkline_standalone.home import make_home
from trunkline_standalone.preparation import Wanted, prepare_all, wanted
from trunkline_worker.catalogue import CATALOGUE, CatalogueModel
from trunkline_worker.convert.precision import Precision
from trunkline_worker.model_store import ListedModel, list_models, verify
from trunkline_worker.own_models import is_path, own_model

VARIANTS = tuple(precision.value for precision in Precision)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One model in one variant, prepared or not."""

    name: str
    variant: str
    kind: str
    licence: str
    size_bytes: int
    state: str
    """`prepared`, `not prepared` or what is wrong with it."""
    path: str = ""


class PrepareOptions(msgspec.Struct, frozen=True, kw_only=True):
    """As given on the command line."""

    models: tuple[str, ...] = ()
    """Names of the catalogue and paths; none: what `up` needs."""
    name: str | None = None
    variant: str | None = None
    adapters: tuple[Path, ...] = ()


def run_prepare(home: Path, options: PrepareOptions) -> None:
    """Prepare them and say where they are. Everything that can be known to fail is looked at first."""
    if options.variant is not None and options.variant not in VARIANTS:
        raise InvalidRequest(f"--variant must be one of {', '.join(VARIANTS)}, not {options.variant}")
    models = asked(options)
    folder = make_home(home).path
    prepare_all(folder, models)
    for model in models:
        found = verify(folder, model.name, model.variant)
        _say(f"{found.name} {found.variant}: ready in {found.path}")


def asked(options: PrepareOptions) -> list[Wanted]:
    """What to prepare. Raises ModelNotFound, ModelError, InvalidRequest for what cannot be."""
    names = options.models or (GENERATOR, ENCODER)
    if len(names) > 1 and (options.name or options.adapters):
        raise InvalidRequest("--name and --lora go with one model; prepare the others by themselves")
    if options.name and not options.adapters and not is_path(names[0]):
        raise InvalidRequest(f"--name is for models of your own; {names[0]} has its name already")
    return [_asked(name, options) for name in names]


def _asked(name: str, options: PrepareOptions) -> Wanted:
    if not options.adapters and not is_path(name):
        return wanted(name, options.variant)
    own = own_model(name, options.name, options.adapters)
    return Wanted(own.name, Precision(options.variant or Precision.Q8), own)


def run_list(home: Path, *, as_json: bool) -> None:
    """A table on a terminal, tab-separated lines in a pipe, JSON when asked."""
    lines = listing(list_models(home.expanduser().absolute()))
    if as_json:
        _say(msgspec.json.format(msgspec.json.encode(lines), indent=2).decode())
        return
    console = Console()
    if not console.is_terminal:
        _say("\n".join(f"{line.name}\t{line.variant}\t{line.kind}\t{line.state}" for line in lines))
        return
    table = Table("Model", "Variant", "For", "Licence", "Size", "State", box=None, header_style="bold")
    for line in lines:
        size = f"{line.size_bytes / 1e6:.0f} MB"
        table.add_row(line.name, line.variant, line.kind, line.licence, size, line.state)
    console.print(table)


def listing(prepared: Sequence[ListedModel]) -> list[Line]:
    """What is prepared, then what could be."""
    lines = [
        Line(
            name=model.name,
            variant=model.variant,
            kind=model.kind.value,
            licence=model.licence,
            size_bytes=model.size_bytes,
            state=model.problem or "prepared",
            path=str(model.path),
        )
        for model in prepared
    ]
    have = {(model.name, model.variant) for model in prepared}
    return lines + [_possible(entry) for entry in CATALOGUE if (entry.name, entry.default.value) not in have]


def _possible(entry: CatalogueModel) -> Line:
    return Line(
        name=entry.name,
        variant=entry.default.value,
        kind=entry.kind.value,
        licence=entry.licence,
        size_bytes=entry.prepared_bytes[entry.default],
        state="not prepared",
    )


def run_verify(home: Path, names: Sequence[str]) -> None:
    """Read every file of every prepared variant. Raises ModelError after all were looked at."""
    folder = home.expanduser().absolute()
    prepared = [model for model in list_models(folder) if not names or model.name in names]
    missing = [wanted(name).name for name in names if name not in {model.name for model in prepared}]
    if missing:
        raise ModelError(f"{', '.join(missing)}: not prepared in {folder}; run `trunkline models prepare`")
    if not prepared:
        raise ModelError(f"no model is prepared in {folder}; run `trunkline models prepare`")
    damaged = []
    for model in prepared:
        try:
            verify(folder, model.name, Precision(model.variant))
        except ModelError as error:
            damaged.append(error.message)
        else:
            _say(f"{model.name} {model.variant}: every file is as it was made")
    if damaged:
        raise ModelError("; ".join(damaged))


def _say(text: str) -> None:
    print(text, file=sys.stdout)  # noqa: T201 - the command's answer
