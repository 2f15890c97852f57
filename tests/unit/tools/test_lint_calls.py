import lint_calls
import pytest

NAMES = frozenset({"Lookup"})


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("await stub.Lookup(request)", [1]),
        ("await self._clients.cache.Lookup(request, metadata=m)", [1]),
        ("x = 1\nfor r in stub.Lookup(a):\n    stub.Lookup(a, timeout=1)", [2]),
        ("await stub.Lookup(request, timeout=left_s)", []),
        ("await stub.Lookup(request, **options)", []),
        ("lookup(request); Lookup(request); stub.lookup(request)", []),
    ],
)
def test_a_call_by_the_name_of_an_rpc_needs_a_deadline(source, lines):
    found = list(lint_calls.findings(f"{source}\n", "x.py", NAMES))
    assert [int(line.split(":")[1]) for line in found] == lines


def test_names_come_from_the_contracts_and_from_foreign_ones():
    names = lint_calls.rpc_names(lint_calls.ROOT / "proto")
    assert {"Lookup", "Analyze", "Generate", "CheckOutput", "Export"} <= names


def test_a_finding_says_where_and_why():
    assert list(lint_calls.findings("s.Lookup(1)", "a.py", NAMES)) == [
        "a.py:1: Lookup() without timeout=: every RPC has a deadline"
    ]
