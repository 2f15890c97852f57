"""The command line of a worker that runs by itself."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from trunkline_kit.runner import run_service
from trunkline_worker.app import open_worker
from trunkline_worker.config import WorkerConfig


def main(argv: Sequence[str] | None = None) -> None:
    """Serve one entry of `workers:` until SIGTERM or SIGINT. Errors are one line on stderr."""
    parser = argparse.ArgumentParser(prog="trunkline worker", add_help=False)
    parser.add_argument("--worker", required=True)
    parser.add_argument("--home", type=Path, default=Path.home() / ".trunkline")
    own, rest = parser.parse_known_args(argv)
    home = own.home.expanduser().absolute()
    from_settings = partial(WorkerConfig.from_settings, name=own.worker, listen=None, home=home)
    run_service("worker", open_worker, from_settings, rest)
