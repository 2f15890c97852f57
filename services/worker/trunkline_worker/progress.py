"""How long-running preparation tells what it is doing."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Step(StrEnum):
    WAIT = "wait"
    """Another process prepares the same model."""
    DOWNLOAD = "download"
    CHECK = "check"
    UNPACK = "unpack"
    CONVERT = "convert"
    INSTALL = "install"
    DONE = "done"


class Progress(Protocol):
    def __call__(self, model: str, step: Step, done_bytes: int, total_bytes: int) -> None:
        """Called on each step's begin and as it goes on. `total_bytes` is 0 where the amount is not known."""


def silent(model: str, step: Step, done_bytes: int, total_bytes: int) -> None:
    """The progress nobody watches."""
    del model, step, done_bytes, total_bytes
