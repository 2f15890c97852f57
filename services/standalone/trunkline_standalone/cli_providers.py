"""`trunkline providers …`: what can be asked, in words."""

# ruff: noqa: PLC0415, FBT002 - imports when asked for; flags are typer's way
from typing import Annotated

import typer

from trunkline_standalone.cli_options import JsonOption, run_plainly

providers_app = typer.Typer(
    help="Show which servers of models are known by name, and what is known of models.", no_args_is_help=True
)


@providers_app.command("presets")
def presets(
    name: Annotated[str | None, typer.Argument(help="All that is known of one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the servers that `kind: openai` knows by name, for `preset:` in the configuration.

    For instance:

      trunkline providers presets

      trunkline providers presets mistral
    """
    from trunkline_standalone.commands.providers import run_presets

    run_plainly(lambda: run_presets(name, as_json=as_json))


@providers_app.command("profile")
def profile(
    model: Annotated[str, typer.Argument(help="A provider's name of a model.")],
    as_json: JsonOption = False,
) -> None:
    """Show what is taken for granted of a model by its name: what it cannot do, and its context window.

    For instance: trunkline providers profile gpt-5-mini
    """
    from trunkline_standalone.commands.providers import run_profile

    run_plainly(lambda: run_profile(model, as_json=as_json))
