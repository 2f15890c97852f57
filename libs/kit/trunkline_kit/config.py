"""Load `trunkline.yaml`, one file or a folder, into frozen Structs, with errors that name path and line."""

import difflib
import hashlib
import re
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from trunkline_kit.errors import ConfigError
from trunkline_kit.settings import Settings

T = TypeVar("T")
Plain = Any
"""What YAML decodes to: mappings, lists and scalars, before it has types."""
SUFFIXES = frozenset({".yaml", ".yml"})


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration and the hash that names it."""

    settings: Settings
    version: str
    """First 12 hexadecimal digits of the SHA-256 of its content."""


def load(path: Path) -> Loaded:
    """Read a file, or every YAML file of a folder in order of name, merged.

    Raises ConfigError with file, line, path inside the file and, for an unknown name, the nearest right one.
    """
    sources = [(file, _read(file)) for file in files_of(path)]
    trees = [(file, _parse(file, text)) for file, text in sources]
    merged: Plain = {}
    for file, tree in trees:
        merged = _merge(merged, tree, str(file), "")
    digest = hashlib.sha256(msgspec.json.encode(merged, order="deterministic")).hexdigest()
    return Loaded(settings=_decode(merged, sources), version=digest[:12])


def files_of(path: Path) -> list[Path]:
    """The files that make up the configuration at `path`. Raises ConfigError if there is none."""
    if not path.exists():
        raise ConfigError(f"{path}: no such file; give --config a YAML file or a folder of them")
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if not found:
        raise ConfigError(f"{path}: no .yaml file in this folder")
    return found


def decode(tree: Plain, kind: type[T]) -> T:
    """`tree` as `kind`. Raises ConfigError whose message starts with the path of what is wrong."""
    try:
        return msgspec.convert(tree, kind, strict=True)
    except msgspec.ValidationError as error:
        path, message = explain(tree, kind, (), str(error))
        raise ConfigError(f"{dotted(path)}: {message}" if path else message) from error


def _decode(tree: Plain, sources: Sequence[tuple[Path, str]]) -> Settings:
    try:
        return msgspec.convert(tree, Settings, strict=True)
    except msgspec.ValidationError as error:
        path, message = explain(tree, Settings, (), str(error))
        raise ConfigError(f"{_place(path, sources)}{dotted(path)}: {message}") from error


def _place(path: Sequence[str | int], sources: Sequence[tuple[Path, str]]) -> str:
    """`file:line: ` of the deepest part of `path` that some file has."""
    places = [(*_line_of(yaml.compose(text, Loader=UniqueKeys), path), file) for file, text in sources]
    depth, line, file = max(places, key=lambda place: place[0])
    return f"{file}:{line}: " if depth or len(sources) == 1 else ""


def _line_of(node: yaml.Node | None, path: Sequence[str | int]) -> tuple[int, int]:
    """How deep `path` leads in this file, and the line there, from 1."""
    depth, line = 0, 1
    for part in path:
        child, child_line = _child(node, part)
        if child is None:
            break
        node, depth, line = child, depth + 1, child_line
    return depth, line


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node | None, int]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line + 1
    return None, 0


def dotted(path: Sequence[str | int]) -> str:
    """`models.gpt-4o.deployments[0].weight`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


class UniqueKeys(yaml.SafeLoader):
    """YAML as data only, that refuses a key given twice instead of keeping the last."""

    def construct_mapping(  # an override: its signature is the library's
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002
    ) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error


def _parse(file: Path, text: str) -> Plain:
    try:
        tree = yaml.load(text, Loader=UniqueKeys)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{file}:{line}: {_yaml_problem(error)}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not YAML: {error}") from error
    if not isinstance(tree, dict | None):
        raise ConfigError(f"{file}:1: must be a mapping with keys such as `listen:` and `models:`")
    return tree or {}


def _yaml_problem(error: yaml.MarkedYAMLError) -> str:
    """The library's words, but for two that would repeat the text: it may be a secret that nobody quoted."""
    problem = error.problem or "not YAML"
    if "undefined alias" in problem:
        return "a text that begins with * means something else in YAML; put it into quotes"
    if "the tag" in problem:
        return "a text that begins with ! means something else in YAML; put it into quotes"
    return problem


def _merge(left: Plain, right: Plain, file: str, path: str) -> Plain:
    """Mappings merge, lists follow one another, one value in two files is an error."""
    if isinstance(left, dict) and isinstance(right, dict):
        merged = dict(left)
        for key, value in right.items():
            merged[key] = _merge(left[key], value, file, f"{path}.{key}") if key in left else value
        return merged
    if isinstance(left, list) and isinstance(right, list):
        return left + right
    raise ConfigError(f"{file}: `{path.removeprefix('.')}` is already set in an earlier file; keep one of the two")


def explain(value: Plain, kind: Any, path: tuple[str | int, ...], message: str) -> tuple[tuple[str | int, ...], str]:
    """The path of the innermost value that does not fit, and what is wrong with it, for people."""
    kind = _choose(value, kind)
    for part, child, child_kind in _children(value, kind):
        try:
            msgspec.convert(child, child_kind, strict=True)
        except msgspec.ValidationError as error:
            return explain(child, child_kind, (*path, part), str(error))
    unknown = _unknown_field(value, kind)
    if unknown:
        return (*path, unknown[0]), unknown[1]
    return path, _plain_message(message)


_PATTERN_HINTS = (
    ("sha256:", "must be env:NAME, file:/path or sha256:<hex of the key's hash>; never the key itself"),
    ("file:/", "must be env:NAME or file:/path; never the secret itself"),
    ("dns:///", "must be dns:///host:port, unix:/path or local:name"),
    ("[0-9]{1,5}", "must be host:port"),
    ("https?", "must start with http:// or https://"),
)
"""Part of a pattern in `settings` → what it asks for, in words."""


def _plain_message(message: str) -> str:
    """Msgspec's own words without its path, which stops at mappings, and without regular expressions."""
    message = re.sub(r" - at `[^`]*`$", "", message)
    if "matching regex" not in message:
        return message
    choices = re.search(r"\^\(([a-z0-9_|]+)\)\$", message)
    if choices:
        return f"must be one of {', '.join(choices[1].split('|'))}"
    return next((hint for part, hint in _PATTERN_HINTS if part in message), message)


def _choose(value: Plain, kind: Any) -> Any:
    """The member of a union that `value` means: by tag, else the one that is not None."""
    if typing.get_origin(kind) is typing.Annotated:
        return _choose(value, typing.get_args(kind)[0])
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    tagged = [member for member in members if _tag(member) is not None]
    if isinstance(value, dict) and tagged:
        return next((member for member in tagged if value.get("kind") == _tag(member)), kind)
    return _choose(value, members[0]) if len(members) == 1 else kind


def _tag(kind: Any) -> str | None:
    tag = kind.__struct_config__.tag if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None
    return None if tag is None else str(tag)


def _children(value: Plain, kind: Any) -> list[tuple[str | int, Plain, Any]]:
    """Parts of `value` with the type each must have."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        hints = typing.get_type_hints(kind, include_extras=True)
        return [(name, value[name], hints[name]) for name in kind.__struct_fields__ if name in value]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict and isinstance(value, dict):
        return [(str(name), child, arguments[1]) for name, child in value.items()]
    if origin in (tuple, list) and isinstance(value, list):
        return [(index, child, arguments[0]) for index, child in enumerate(value)]
    return []


def _unknown_field(value: Plain, kind: Any) -> tuple[str, str] | None:
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict)):
        return None
    known = [*kind.__struct_fields__, *(["kind"] if _tag(kind) else [])]
    unknown = [str(name) for name in value if name not in known]
    if not unknown:
        return None
    near = difflib.get_close_matches(unknown[0], known, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}"
    return unknown[0], f"unknown name `{unknown[0]}`; {hint}"
