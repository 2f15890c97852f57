"""What a model that is not of the catalogue is made from."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct


class Origin(Struct, frozen=True, kw_only=True):
    """A decoder's weights on this disk, and what is merged into them."""

    name: str
    source: Path
    """A GGUF file, or a folder of safetensors."""
    adapters: tuple[Path, ...] = ()
    """LoRA folders, added in this order."""
    sha256: str = ""
    """Over all of it, so that the same is not converted twice."""
    licence: str = ""
    temperature: float | None = None
    """For requests that name none; None: what the source says."""
    top_p: float | None = None
