"""What the commands of `trunkline` share: options, the environment, and how an error is told."""

# ruff: noqa: PLC0415 - commands are imported when asked for, so that --help is quick
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trunkline_standalone.remote import Remote

ENVIRONMENT_HOME = "TRUNKLINE_HOME"
DEFAULT_HOME = Path("~/.trunkline")

HomeOption = Annotated[
    Path,
    typer.Option("--home", envvar=ENVIRONMENT_HOME, help="Folder for models, key, data and logs.", metavar="DIR"),
]
ConfigOption = Annotated[
    Path, typer.Option("--config", help="trunkline.yaml, or a folder of YAML files.", metavar="FILE")
]
ListenOption = Annotated[
    str | None, typer.Option(help="Listen here instead of where the file says.", metavar="HOST:PORT")
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="TRUNKLINE_URL", help="The gateway. Default: the one that `up` runs on the home folder."
    ),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="TRUNKLINE_API_KEY",
        show_envvar=True,
        help="API key. Default: the one that `up` made in the home folder (TRUNKLINE_HOME).",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


def environment() -> dict[str, str]:
    """The one place of this package that reads the process's environment."""
    return dict(os.environ)  # noqa: TID251 - it is passed on from here


def home_folder() -> Path:
    """For commands that take no --home."""
    return Path(environment().get(ENVIRONMENT_HOME) or DEFAULT_HOME)


def remote(url: str | None, key: str | None) -> "Remote":
    """The gateway that these options name."""
    from trunkline_standalone.remote import Remote

    return Remote(url=url, key=key, home=home_folder())


def run_plainly(work: Callable[[], None]) -> None:
    """Run it; an error ends the process with one line."""
    from trunkline_standalone.edge import told_plainly

    with told_plainly(debug=bool(environment().get("TRUNKLINE_DEBUG"))):
        work()
