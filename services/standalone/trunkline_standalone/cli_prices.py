"""`trunkline prices …`: what can be asked, in words."""

# ruff: noqa: PLC0415 - imports when asked for; many options are typer's way
from pathlib import Path
from typing import Annotated

import typer

from trunkline_standalone.cli_options import DEFAULT_HOME, ConfigOption, HomeOption, environment, run_plainly

prices_app = typer.Typer(help="Show, check, import and compare what providers charge.", no_args_is_help=True)

TableOption = Annotated[Path | None, typer.Option(help="Default: the table of Trunkline.", metavar="FILE")]


@prices_app.command("show")
def show(
    model: Annotated[
        str | None, typer.Argument(help="A provider's name of a model; with --config also a name of the file.")
    ] = None,
    provider: Annotated[str | None, typer.Option(help="One provider only.")] = None,
    table: TableOption = None,
    config: Annotated[
        Path | None, typer.Option(help="Show what requests under this trunkline.yaml cost.", metavar="FILE")
    ] = None,
    team: Annotated[str, typer.Option(help="With --config: what they cost this team.")] = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Show what a model costs, in dollars per million tokens: by the table, or under a configuration.

    For instance:

      trunkline prices show gpt-4o-mini --provider openai

      trunkline prices show --config trunkline.yaml --team search
    """
    from trunkline_standalone.commands.prices import EffectiveOptions, run_effective, run_show

    if config is None:
        run_plainly(lambda: run_show(model, provider, table, team))
        return
    options = EffectiveOptions(model=model or "", provider=provider or "", team=team, config=config, home=home)
    run_plainly(lambda: run_effective(options, environment()))


@prices_app.command("check")
def check(config: ConfigOption, home: HomeOption = DEFAULT_HOME) -> None:
    """Say which models of a configuration have no price, and which overrides have no effect. Exit code 1 for models.

    For instance: trunkline prices check --config trunkline.yaml
    """
    from trunkline_standalone.commands.prices import run_check

    run_plainly(lambda: run_check(config, home, environment()))


@prices_app.command("import")
def import_(to: Annotated[Path, typer.Option(help="Where to write it.", metavar="FILE")]) -> None:
    """Write the prices of the installed package genai-prices to a file, for `prices.table`. Asks no network.

    For instance: trunkline prices import --to prices.json
    """
    from trunkline_standalone.commands.prices import run_import

    run_plainly(lambda: run_import(to))


@prices_app.command("diff")
def diff(
    before: Annotated[Path | None, typer.Argument(help="Default: the table of Trunkline.")] = None,
    after: Annotated[Path | None, typer.Argument(help="Default: the installed package genai-prices.")] = None,
) -> None:
    """Show what differs between two price tables.

    For instance: trunkline prices diff prices.json
    """
    from trunkline_standalone.commands.prices import run_diff

    run_plainly(lambda: run_diff(before, after))
