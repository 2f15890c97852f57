"""`trunkline config check FILE` and `trunkline config schema`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from trunkline_cache.config import without_effect as cache_without_effect
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.config import unenforced as gateway_unenforced
from trunkline_guardrails.policy import unenforced as guardrails_unenforced
from trunkline_kit.config import load
from trunkline_kit.config_check import Finding, Level, check
from trunkline_kit.errors import ConfigError
from trunkline_kit.settings import Settings
from trunkline_router.config import without_effect as router_without_effect
from trunkline_standalone.config import local_workers

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def run_check(file: Path) -> None:
    """Print every finding. Raises ConfigError when one of them would stop a service from starting."""
    found = findings(load(file).settings)
    for finding in found:
        print(f"{finding.level.value}: {finding}", file=sys.stdout)  # noqa: T201 - the command's answer
    errors = sum(finding.level is Level.ERROR for finding in found)
    if errors:
        raise ConfigError(f"{file}: {errors} error{'s' if errors > 1 else ''}; nothing would start with it")
    print(f"{file}: can be served", file=sys.stdout)  # noqa: T201 - the command's answer


def findings(settings: Settings) -> list[Finding]:
    """What the kit finds, what a service refuses, and what is understood but does nothing yet; errors first."""
    found = check(settings)
    if not any(finding.level is Level.ERROR for finding in found):
        found = [*_refusals(settings), *found]
    return [*found, *_unenforced(settings)]


def _refusals(settings: Settings) -> Iterator[Finding]:
    for load_part in (GatewayConfig.from_settings, local_workers):
        try:
            load_part(settings)
        except ConfigError as error:
            path, _, message = error.message.partition(": ")
            yield Finding(Level.ERROR, path, message)


def _unenforced(settings: Settings) -> list[Finding]:
    """One warning a place, in the words of the first service that has no use for it."""
    lines = [
        *router_without_effect(settings.routes),
        *cache_without_effect(settings),
        *guardrails_unenforced(settings.policies),
        *gateway_unenforced(settings, has_database=True),
    ]
    found: dict[str, Finding] = {}
    for line in lines:
        path, _, message = line.partition(": ")
        found.setdefault(path, Finding(Level.WARNING, path, message))
    return list(found.values())


def schema() -> bytes:
    """The JSON Schema of `trunkline.yaml`, indented."""
    (top,), components = msgspec.json.schema_components([Settings], ref_template="#/$defs/{name}")
    whole = {"$schema": SCHEMA_DIALECT, "title": "trunkline.yaml", **top, "$defs": components}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2)


def run_schema() -> None:
    """Print it."""
    print(schema().decode(), file=sys.stdout)  # noqa: T201 - the command's answer
