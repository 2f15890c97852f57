"""Put the schema of trunkline.yaml into the chart's values.schema.json, so that helm refuses what a service would.

Only `config` and the definitions named `trunkline.…` are written; the rest of the file is kept by hand.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from trunkline_kit.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "charts" / "trunkline" / "values.schema.json"
PREFIX = "trunkline."
FILLED_BY_CHART = ("listen", "services", "workers")
"""What the chart knows better than its user."""
Schema = dict[str, Any]
"""A JSON Schema, whose shape is its own business."""


def refreshed(schema: Schema) -> Schema:
    """The chart's schema with the settings as they are now."""
    _, components = msgspec.json.schema_components([Settings], ref_template=f"#/$defs/{PREFIX}{{name}}")
    definitions = {f"{PREFIX}{name}": component for name, component in sorted(components.items())}
    config = definitions.pop(f"{PREFIX}Settings")
    used = {name: value for name, value in config["properties"].items() if name not in FILLED_BY_CHART}
    config = {**config, "properties": used, "description": "trunkline.yaml, but for what the chart fills in."}
    own = {name: value for name, value in schema["$defs"].items() if not name.startswith(PREFIX)}
    properties = {**schema["properties"], "config": config}
    new: Schema = json.loads(json.dumps({**schema, "properties": properties, "$defs": {**own, **definitions}}))
    return new


def main(argv: list[str] | None = None, file: Path = FILE) -> int:
    parser = argparse.ArgumentParser(prog="tools/chart_schema.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the file is not up to date")
    arguments = parser.parse_args(argv)
    old = json.loads(file.read_text())
    new = refreshed(old)
    if arguments.check and new != old:
        print(f"{file.name} does not know the settings as they are; run tools/check --fix chart-schema")
        return 1
    if new != old:
        file.write_text(json.dumps(new, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
