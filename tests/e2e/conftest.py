"""One `trunkline up` for all tests that only ask it something, and the means to start others."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trunkline_testkit.models import require_model
from trunkline_testkit.processes import StartUp, Up, trunkline

HOSTILE = ("TRUNKLINE_", "OPENAI_", "XDG_RUNTIME_DIR")
"""What a developer may have set and a test must not see."""


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    own = os.environ.items()  # noqa: TID251 - handed to processes that a test starts
    return {name: value for name, value in own if not name.startswith(HOSTILE)}


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of prepared models."""
    require_model("smollm2-135m-instruct")
    return require_model("all-minilm-l6-v2") / "models"


@pytest.fixture(scope="session")
def new_home(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A home folder with the models in it, as links to the same files. The name needs quotes in a shell."""

    def made(name: str = "it's a home") -> Path:
        home = tmp_path_factory.mktemp("up") / name
        home.mkdir(mode=0o700)
        shutil.copytree(models, home / "models", copy_function=_link_or_copy)
        return home

    return made


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="session")
def start_up(environment: dict[str, str]) -> StartUp:
    """`start_up(home, *arguments)` runs `trunkline up` on a free port and waits until it is ready."""

    @contextmanager
    def started(home: Path, *arguments: str | Path) -> Iterator[Up]:
        options = ("--home", home, "--port", "0")
        with trunkline(home.parent / "run", "up", *options, *arguments, environment=environment) as running:
            url = running.wait_for(r"^Trunkline is ready at (\S+)$").group(1)
            running.wait_for(r"^print\(answer")
            yield Up(running, home, url)

    return started


@pytest.fixture(scope="session")
def up(new_home: Callable[[], Path], start_up: StartUp) -> Iterator[Up]:
    with start_up(new_home()) as running:
        yield running
