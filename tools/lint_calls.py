"""Every RPC gets a deadline: a call of a method that proto/ declares must pass `timeout=`.

The check goes by name: RPCs are in CamelCase, which no Python method of ours is.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RPC = re.compile(r"^\s*rpc\s+(\w+)\s*\(", re.MULTILINE)
FOREIGN_RPCS = frozenset({"Export", "Check", "Watch"})
"""Of contracts that are not ours: OTLP and grpc.health."""


def rpc_names(proto: Path) -> frozenset[str]:
    """Every RPC declared below `proto`, and the foreign ones."""
    declared = {name for file in proto.rglob("*.proto") for name in RPC.findall(file.read_text())}
    return frozenset(declared) | FOREIGN_RPCS


def findings(source: str, file: str, names: frozenset[str]) -> Iterator[str]:
    """One line for each call of an RPC without a deadline."""
    for node in ast.walk(ast.parse(source, file)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names):
            continue
        if not any(keyword.arg in {"timeout", None} for keyword in node.keywords):
            yield f"{file}:{node.lineno}: {node.func.attr}() without timeout=: every RPC has a deadline"


def main() -> int:
    names = rpc_names(ROOT / "proto")
    files = [file for folder in ("services", "libs/kit") for file in sorted((ROOT / folder).rglob("*.py"))]
    found = [line for file in files for line in findings(file.read_text(), str(file.relative_to(ROOT)), names)]
    print("\n".join(found) or f"{len(files)} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
