"""`trunkline prices …`: what can be asked, in words."""

# ruff: noqa: PLC0415, FBT002, PLR0913, PLR0917 - imports when asked for; flags and many options are typer's way
from pathlib import Path
from typing import Annotated

import typer

from trunkline_standalone.cli_options import (
    DEFAULT_HOME,
    ConfigOption,
    HomeOption,
    JsonOption,
    KeyOption,
    UrlOption,
    environment,
    remote,
    run_plainly,
)

prices_app = typer.Typer(
    help="Show, check, import and compare what providers charge; override it at run time.", no_args_is_help=True
)

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


@prices_app.command("list")
def list_overrides(
    provider: Annotated[str, typer.Option(help="Only of one provider.")] = "",
    team: Annotated[str, typer.Option(help="Only of one team.")] = "",
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List price overrides, those of the configuration file too.

    For instance: trunkline prices list --provider openai
    """

    def work() -> None:
        from trunkline_standalone.commands.overrides import run_list

        run_list(remote(url, key), (("provider", provider), ("team", team)), as_json=as_json)

    run_plainly(work)


@prices_app.command("set")
def set_override(
    provider: Annotated[str, typer.Argument(help="A name under providers: in the configuration.")],
    model: Annotated[str, typer.Argument(help="The provider's name of a model, or a glob over such names.")],
    team: Annotated[str | None, typer.Option(help="For this team only.")] = None,
    input_usd: Annotated[
        float | None, typer.Option("--input", min=0, help="Per million tokens.", metavar="USD")
    ] = None,
    output_usd: Annotated[
        float | None, typer.Option("--output", min=0, help="Per million tokens.", metavar="USD")
    ] = None,
    cache_read_usd: Annotated[
        float | None, typer.Option("--cache-read", min=0, help="Default: as input.", metavar="USD")
    ] = None,
    cache_write_usd: Annotated[
        float | None, typer.Option("--cache-write", min=0, help="Default: as input.", metavar="USD")
    ] = None,
    request_usd: Annotated[
        float | None, typer.Option("--request", min=0, help="Per request, on top.", metavar="USD")
    ] = None,
    gpu_second_usd: Annotated[
        float | None, typer.Option("--gpu-second", min=0, help="Per second, on top.", metavar="USD")
    ] = None,
    gpu_requests: Annotated[int | None, typer.Option(min=1, help="How many requests share that second.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Set a price at run time, in place of the one of the same provider, model and team.

    For instance: trunkline prices set openai gpt-4o --input 2.5 --output 10
    """

    def work() -> None:
        from trunkline_standalone.commands.overrides import Terms, run_set

        terms = Terms(
            provider=provider,
            model=model,
            team=team,
            input_usd=input_usd,
            output_usd=output_usd,
            cache_read_usd=cache_read_usd,
            cache_write_usd=cache_write_usd,
            request_usd=request_usd,
            gpu_second_usd=gpu_second_usd,
            gpu_requests=gpu_requests,
        )
        run_set(remote(url, key), terms, as_json=as_json)

    run_plainly(work)


@prices_app.command("remove")
def remove_override(
    override: Annotated[str, typer.Argument(help="As `trunkline prices list` shows it.", metavar="ID")],
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Take an override away that was made at run time.

    For instance: trunkline prices remove price-k3m9x2ab
    """

    def work() -> None:
        from trunkline_standalone.commands.overrides import run_remove

        run_remove(remote(url, key), override)

    run_plainly(work)
