"""Hold proto/ to the house's rules and to what was published before.

package = folder; enums start with `…_UNSPECIFIED = 0`; every RPC has a request and a response of its own; a comment
says the unit or meaning of every number; nothing in tools/proto.lock.json is gone or changed. `--update` adds what is
new to the lock; taking something away needs `--force` and a reason in the commit.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
LOCK = ROOT / "tools" / "proto.lock.json"

Lock = dict[str, dict[str, str]]
"""Full name of a message, enum or service, to its members, to what must not change about each."""
Path_ = tuple[int, ...]
"""Where something stands in a descriptor, as source info counts it."""

MESSAGES, NESTED, FIELDS = 4, 3, 2
"""Field numbers inside FileDescriptorProto and DescriptorProto (descriptor.proto), of which source paths are made."""
TYPES = {number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()}
NUMBERS = frozenset(
    getattr(FieldDescriptorProto, f"TYPE_{name}")
    for name in (
        *("DOUBLE", "FLOAT", "INT32", "INT64", "UINT32", "UINT64"),
        *("SINT32", "SINT64", "FIXED32", "FIXED64", "SFIXED32", "SFIXED64"),
    )
)


def compile_protos(root: Path) -> list[FileDescriptorProto]:
    """Descriptors of every file below `root`, with their comments. Exits with the compiler's message."""
    files = sorted(root.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "set.binpb")
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root}", f"--descriptor_set_out={out}"]
        result = subprocess.run(
            [*command, "--include_source_info", *map(str, files)], capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            sys.exit(f"lint_proto: {result.stderr.strip()}")
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def messages(file: FileDescriptorProto) -> Iterator[tuple[str, Path_, DescriptorProto]]:
    """Every message, nested ones too: full name, source path, descriptor. Map entries are left out."""
    waiting: list[tuple[str, Path_, DescriptorProto]] = [
        (file.package, (MESSAGES, index), message) for index, message in enumerate(file.message_type)
    ]
    while waiting:
        prefix, path, message = waiting.pop(0)
        if message.options.map_entry:
            continue
        name = f"{prefix}.{message.name}"
        yield name, path, message
        waiting += [(name, (*path, NESTED, index), nested) for index, nested in enumerate(message.nested_type)]


def enums(file: FileDescriptorProto) -> Iterator[tuple[str, EnumDescriptorProto]]:
    """Every enum with its full name."""
    yield from ((f"{file.package}.{enum.name}", enum) for enum in file.enum_type)
    for name, _, message in messages(file):
        yield from ((f"{name}.{enum.name}", enum) for enum in message.enum_type)


def package_is_folder(file: FileDescriptorProto) -> Iterator[str]:
    """`trunkline/router/v1/x.proto` is of package `trunkline.router.v1`."""
    folder = ".".join(Path(file.name).parent.parts)
    if file.package != folder:
        yield f"{file.name}: package {file.package or '(none)'} is not its folder, {folder}"


def enums_start_unspecified(file: FileDescriptorProto) -> Iterator[str]:
    """Zero is what an absent field reads as, so zero must mean nothing."""
    for name, enum in enums(file):
        first = enum.value[0]
        if first.number != 0 or not first.name.endswith("_UNSPECIFIED"):
            yield f"{file.name}: enum {name} starts with {first.name} = {first.number}, not …_UNSPECIFIED = 0"


def rpcs_have_own_messages(file: FileDescriptorProto) -> Iterator[str]:
    """Shared requests cannot grow apart."""
    for service in file.service:
        for method in service.method:
            for kind, used in (("Request", method.input_type), ("Response", method.output_type)):
                expected = f".{file.package}.{method.name}{kind}"
                if used != expected:
                    yield f"{file.name}: rpc {service.name}.{method.name} uses {used[1:]}, not {expected[1:]}"
    methods = [method for service in file.service for method in service.method]
    users = Counter(kind for method in methods for kind in (method.input_type, method.output_type))
    yield from (f"{file.name}: {kind[1:]} belongs to {count} RPCs" for kind, count in users.items() if count > 1)


def numbers_have_comments(file: FileDescriptorProto) -> Iterator[str]:
    """A number without a unit is a guess."""
    commented = {
        tuple(location.path)
        for location in file.source_code_info.location
        if (location.leading_comments + location.trailing_comments).strip()
    }
    for name, path, message in messages(file):
        for index, field in enumerate(message.field):
            if _is_number(field, message) and (*path, FIELDS, index) not in commented:
                yield f"{file.name}: {name}.{field.name} is a number; say its unit or meaning in a comment"


def _is_number(field: FieldDescriptorProto, message: DescriptorProto) -> bool:
    """Also for a map whose values are numbers."""
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{message.name}.{nested.name}"):
            return nested.field[1].type in NUMBERS
    return field.type in NUMBERS


RULES = (package_is_folder, enums_start_unspecified, rpcs_have_own_messages, numbers_have_comments)


def lock_of(files: list[FileDescriptorProto]) -> Lock:
    """What of these contracts must stay as it is."""
    lock: Lock = {}
    for file in files:
        for name, _, message in messages(file):
            lock[name] = {field.name: _field(field) for field in message.field}
        for name, enum in enums(file):
            lock[name] = {value.name: str(value.number) for value in enum.value}
        for service in file.service:
            streams = {True: "stream ", False: ""}
            lock[f"{file.package}.{service.name}"] = {
                method.name: f"{streams[method.client_streaming]}{method.input_type[1:]} -> "
                f"{streams[method.server_streaming]}{method.output_type[1:]}"
                for method in service.method
            }
    return dict(sorted(lock.items()))


def _field(field: FieldDescriptorProto) -> str:
    """Number, label and type, as in `3 repeated string`."""
    repeated = "repeated " if field.label == FieldDescriptorProto.LABEL_REPEATED else ""
    optional = "optional " if field.proto3_optional else ""
    return f"{field.number} {repeated}{optional}{field.type_name[1:] or TYPES[field.type]}"


def broken(old: Lock, new: Lock) -> Iterator[str]:
    """What `new` took away from `old` or changed."""
    for name, members in old.items():
        if name not in new:
            yield f"{name} was removed"
            continue
        for member, shape in members.items():
            now = new[name].get(member)
            if now is None:
                yield f"{name}.{member} ({shape}) was removed"
            elif now != shape:
                yield f"{name}.{member} was {shape}, is {now}"


def read_lock(file: Path) -> Lock:
    """The lock as committed; empty before the first one."""
    if not file.exists():
        return {}
    lock: Lock = json.loads(file.read_text())
    return lock


def main(argv: list[str] | None = None, proto: Path = PROTO, lock: Path = LOCK) -> int:
    parser = argparse.ArgumentParser(prog="tools/lint_proto", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write what is new into the lock")
    parser.add_argument("--force", action="store_true", help="with --update: also take away what is gone")
    arguments = parser.parse_args(argv)
    files = compile_protos(proto)
    old, new = read_lock(lock), lock_of(files)
    found = [line for file in files for rule in RULES for line in rule(file)]
    if not (arguments.update and arguments.force):
        advice = "published contracts only grow (--update --force if nobody uses it)"
        found += [f"{line}; {advice}" for line in broken(old, new)]
    if not found and arguments.update:
        lock.write_text(json.dumps(new, indent=1) + "\n")
    elif not found and old != new:
        found = ["the lock does not know everything in proto/; run tools/lint_proto --update"]
    print("\n".join(found) or f"{len(files)} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
