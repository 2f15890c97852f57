"""`trunkline models …`: what can be asked about the models that run on this machine."""

# ruff: noqa: PLC0415, FBT002 - commands are imported when asked for, so that --help is quick; flags are typer's way
from pathlib import Path
from typing import Annotated

import typer

from trunkline_standalone.cli_options import DEFAULT_HOME, HomeOption, JsonOption, run_plainly

models_app = typer.Typer(
    help="Prepare, list, compare and verify models that run on this machine.", no_args_is_help=True
)


@models_app.command("prepare")
def models_prepare(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Names, GGUF files, folders of safetensors; all that `up` needs when left out."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What a model of your own is called. Default: as its file.")] = None,
    variant: Annotated[str | None, typer.Option(help="q8, q4, f16 or f32. Default: the model's own, or q8.")] = None,
    lora: Annotated[
        list[Path] | None, typer.Option(help="A LoRA folder of PEFT to merge; may be given again.", metavar="DIR")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Make models ready to run: download or read the weights, convert, verify. Goes on where it was interrupted.

    Files must be of the llama, mistral, qwen2 or qwen3 family. A path is told from a name by a slash or by `.gguf`.

    For instance:

      trunkline models prepare smollm2-135m-instruct

      trunkline models prepare ./Qwen2.5-0.5B-Instruct --name qwen --variant q4

      trunkline models prepare smollm2-135m-instruct --lora ./support
    """
    from trunkline_standalone.commands.models import PrepareOptions, run_prepare

    options = PrepareOptions(models=tuple(models or ()), name=name, variant=variant, adapters=tuple(lora or ()))
    run_plainly(lambda: run_prepare(home, options))


@models_app.command("list")
def models_list(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show the models that are prepared in --home, and those that can be."""
    from trunkline_standalone.commands.models import run_list

    run_plainly(lambda: run_list(home, as_json=as_json))


@models_app.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Models; all prepared ones when left out.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Compare every file of prepared models with its recorded SHA-256. Exit code 1 if one is damaged."""
    from trunkline_standalone.commands.models import run_verify

    run_plainly(lambda: run_verify(home, names or []))


@models_app.command("compare")
def models_compare(
    name: Annotated[str, typer.Argument(help="A model that generates.")],
    variants: Annotated[
        str, typer.Option(help="Which ones, with commas; f32 is read in any case, since the others are held to it.")
    ] = "f32,q8,q4",
    threads: Annotated[int, typer.Option(min=0, help="Threads of the model; 0: one per core.")] = 0,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show what each variant of a model costs and loses: quality on a fixed text, size, speed. Takes a minute.

    A model of the catalogue is prepared in the variants that are missing.

    For instance: trunkline models compare smollm2-135m-instruct --variants f32,q8,q4
    """
    from trunkline_standalone.commands.compare import CompareOptions, run_compare

    options = CompareOptions(name=name, variants=tuple(variants.split(",")), threads=threads, as_json=as_json)
    run_plainly(lambda: run_compare(home, options))
