"""What JSON Schemas answers can be held to: the JSON Schema Test Suite (draft 2020-12), counted by keyword.

`refused` are schemas that a strict request gets an error for. Of the instances of the others: valid ones that a model
could write (`reached`) or could not (`narrower`), invalid ones that it could not (`kept_out`) or could (`let_through`).
"""

import argparse
import json

from msgspec import structs

from trunkline_testkit.schema_suite import Tally, byte_guides, require_suite, tally

COLUMNS = ("schemas", "refused", "reached", "narrower", "kept_out", "let_through")


def counts(one: Tally) -> dict[str, int]:
    found = structs.asdict(one)
    return {name: found[name] if isinstance(found[name], int) else len(found[name]) for name in COLUMNS}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench worker_schemas", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(argv)
    guides = byte_guides()
    found = {keyword: counts(tally(guides, groups)) for keyword, groups in sorted(require_suite().items())}
    found["all"] = {name: sum(one[name] for one in found.values()) for name in COLUMNS}
    if options.json:
        print(json.dumps({"bench": "worker_schemas", **found}))
        return 0
    print(f"{'':<26}" + "".join(f"{name:>12}" for name in COLUMNS))
    for keyword, one in found.items():
        print(f"{keyword:<26}" + "".join(f"{value:>12}" for value in one.values()))
    return 1 if found["all"]["let_through"] else 0
