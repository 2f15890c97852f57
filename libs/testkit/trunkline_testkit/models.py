"""Real models for tests, prepared once for all runs on a machine."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trunkline_kit.errors import ModelError
from trunkline_testkit.parts import require_or_skip
from trunkline_worker.convert.precision import Precision
from trunkline_worker.prepare import prepare


def models_home() -> Path:
    """Where test runs keep prepared models: `TRUNKLINE_TEST_HOME`, or a folder in the user's cache."""
    chosen = os.environ.get("TRUNKLINE_TEST_HOME")  # noqa: TID251 - belongs to the test run itself
    return Path(chosen) if chosen else Path.home() / ".cache" / "trunkline-test"


def require_model(name: str, variant: Precision | None = None) -> Path:
    """The home with that model in it, in its own variant unless told; prepared if it is not.

    Skips without a network on a laptop, fails under CI.
    """
    home = models_home()
    home.mkdir(parents=True, exist_ok=True)
    try:
        with _alone(home / ".preparing"):
            prepare(name, home, variant=variant)
    except ModelError as error:
        require_or_skip(f"model {name}", error.message)
    return home


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time: the tests are shared by several."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
