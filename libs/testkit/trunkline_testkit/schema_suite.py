"""The JSON Schema Test Suite, draft 2020-12, as questions to a grammar: which instances can be written.

The suite comes inside the source distribution of `jsonschema`, pinned here and fetched once for all runs on a machine.
An instance is asked for as Python lays JSON out and with its keys in the order in which it has them.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import numpy as np
from msgspec import Struct

from trunkline_kit.errors import InvalidRequest
from trunkline_testkit.models import models_home
from trunkline_testkit.parts import require_or_skip
from trunkline_worker.candidates import Scratch
from trunkline_worker.generation import AnswerGuide
from trunkline_worker.grammars import Grammar, Kind
from trunkline_worker.guides import GuideMaker
from trunkline_worker.manifest import sha256_of
from trunkline_worker.runtimes.fake import EOS_ID, ByteCodec

_PINNED = "jsonschema==4.26.0"
_ARCHIVE = "jsonschema-4.26.0.tar.gz"
_SHA256 = "0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326"
_FOLDER = "jsonschema-4.26.0/json/tests/draft2020-12/"
_LONGEST_WALK = 300
_END_SHARE = 0.3
"""How often a walk closes what it can close; else strings and lists would hardly ever end."""


class Instance(Struct, frozen=True):
    """One instance and what the suite says of it."""

    data: msgspec.Raw
    valid: bool
    description: str = ""

    @property
    def text(self) -> str:
        return json.dumps(json.loads(bytes(self.data)), ensure_ascii=False)


class Group(Struct, frozen=True):
    """One schema and its instances."""

    description: str
    schema: msgspec.Raw
    tests: tuple[Instance, ...]


class Tally(Struct, kw_only=True):
    """What came of one keyword's file."""

    schemas: int = 0
    refused: int = 0
    """Schemas that a strict request gets an error for."""
    reached: int = 0
    """Valid instances that a model could write."""
    narrower: int = 0
    """Valid instances that it could not: mostly keys in another order."""
    kept_out: int = 0
    """Invalid instances that it could not write either."""
    let_through: list[str] = []
    """Invalid instances that it could; each is an error of ours."""


def require_suite() -> dict[str, tuple[Group, ...]]:
    """Groups by keyword. Skips without a network on a laptop, fails under CI."""
    folder = models_home() / "json-schema"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / _ARCHIVE
    with (folder / ".fetching").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.is_file():
            options = ("--no-deps", "--no-binary=:all:", "--disable-pip-version-check", "--quiet", f"--dest={folder}")
            subprocess.run([sys.executable, "-m", "pip", "download", *options, _PINNED], check=False)
    if not archive.is_file() or sha256_of(archive) != _SHA256:
        require_or_skip("JSON Schema Test Suite", f"{archive} is not there, or not the pinned one")
    return _read(archive)


def _read(archive: Path) -> dict[str, tuple[Group, ...]]:
    found = {}
    with tarfile.open(archive) as members:
        for member in members:
            name = member.name.removeprefix(_FOLDER)
            opened = members.extractfile(member) if member.name.startswith(_FOLDER) and "/" not in name else None
            if opened is not None:
                found[name.removesuffix(".json")] = msgspec.json.decode(opened.read(), type=tuple[Group, ...])
    return found


def byte_guides() -> GuideMaker:
    """Grammars over single bytes: no tokenizer decides what can be written."""
    codec = ByteCodec()
    return GuideMaker(codec, frozenset({EOS_ID}), codec.vocabulary_size)


def tally(guides: GuideMaker, groups: tuple[Group, ...]) -> Tally:
    """Ask for every instance."""
    made = Tally(schemas=len(groups))
    for group in groups:
        guide = compiled(guides, group)
        if guide is None:
            made.refused += 1
            continue
        for instance in group.tests:
            accepted = accepts(guides, group, instance.text)
            if instance.valid:
                made.reached += accepted
                made.narrower += not accepted
            elif accepted:
                made.let_through.append(f"{group.description}: {instance.description}: {instance.text}")
            else:
                made.kept_out += 1
    return made


def compiled(guides: GuideMaker, group: Group) -> AnswerGuide | None:
    """A guide at the beginning of an answer, or None for a schema that is refused."""
    grammar = Grammar(kind=Kind.JSON_SCHEMA, text=bytes(group.schema).decode(), param="schema")
    try:
        return guides.compile(grammar).guide()
    except InvalidRequest:
        return None


def accepts(guides: GuideMaker, group: Group, text: str) -> bool:
    """Whether a model could write just this and stop."""
    guide = compiled(guides, group)
    if guide is None:
        return False
    for byte in text.encode():
        if byte not in _allowed(guide):
            return False
        guide.accept(byte)
    return guide.done or EOS_ID in _allowed(guide)


def walks(guides: GuideMaker, group: Group, random: Random, count: int) -> Iterator[str]:
    """Complete answers of a model that writes at random."""
    for _ in range(count):
        guide = compiled(guides, group)
        text = None if guide is None else _walk(guide, random)
        if text is not None:
            yield text


def _walk(guide: AnswerGuide, random: Random) -> str | None:
    """One answer, or None if it did not come to its end."""
    made = bytearray()
    for _ in range(_LONGEST_WALK):
        allowed = _allowed(guide)
        ending = [one for one in (EOS_ID, *b'}]"') if one in allowed]
        token_id = ending[0] if ending and random.random() < _END_SHARE else random.choice(sorted(allowed))
        guide.accept(token_id)
        if token_id == EOS_ID:
            return made.decode()
        made.append(token_id)
        if guide.done:
            return made.decode()
        if guide.failed:
            return None
    return None


def _allowed(guide: AnswerGuide) -> set[int]:
    mask = guide.mask(Scratch(ByteCodec().vocabulary_size).weights)
    return set() if mask is None else set(np.flatnonzero(np.isfinite(mask)).tolist())
