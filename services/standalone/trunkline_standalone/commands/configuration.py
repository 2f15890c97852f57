"""`trunkline config check FILE` and `trunkline config schema`."""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from trunkline_cache.config import without_effect as cache_without_effect
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.config import unenforced as gateway_unenforced
from trunkline_gateway.prices.pricing import build_pricing, price_problems
from trunkline_gateway.prices.rulings import declared_rulings, idle_rulings, in_order
from trunkline_gateway.prices.table import Table, load_table
from trunkline_guardrails.policy import unenforced as guardrails_unenforced
from trunkline_kit.accounts import Unpriced
from trunkline_kit.clock import SystemClock
from trunkline_kit.config import load
from trunkline_kit.config_check import Finding, Level, check
from trunkline_kit.errors import ConfigError
from trunkline_kit.settings import Settings
from trunkline_router.config import without_effect as router_without_effect
from trunkline_standalone.commands.prices import told_idle
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


def findings(settings: Settings, now_s: float | None = None) -> list[Finding]:
    """What the kit finds, what a service refuses, and what is understood but hardly meant; errors first.

    `now_s`, seconds since the epoch, is for keys and prices; left out, the clock's.
    """
    now_s = SystemClock().now_s() if now_s is None else now_s
    found = check(settings)
    if not any(finding.level is Level.ERROR for finding in found):
        found = [*_refusals(settings), *found]
    found += _of_prices(settings, now_s)
    found += [*_expired(settings, datetime.fromtimestamp(now_s, UTC)), *_spool(settings), *_unenforced(settings)]
    return sorted(found, key=lambda finding: finding.level is Level.WARNING)


def _refusals(settings: Settings) -> Iterator[Finding]:
    for load_part in (GatewayConfig.from_settings, local_workers):
        try:
            load_part(settings)
        except ConfigError as error:
            path, _, message = error.message.partition(": ")
            yield Finding(Level.ERROR, path, message)


def _of_prices(settings: Settings, now_s: float) -> Iterator[Finding]:
    """Reads the table, as a gateway does at its start."""
    try:
        table = load_table(settings.prices.table)
    except ConfigError as error:
        path, _, message = error.message.partition(": ")
        yield Finding(Level.ERROR, path, message)
        return
    problems = list(price_problems(settings.prices, settings.providers, table))
    for path, message in problems:
        yield Finding(Level.ERROR, path, message)
    for name in settings.prices.listed_as:
        if name not in settings.providers:
            yield Finding(Level.WARNING, f"prices.listed_as.{name}", f"no provider `{name}`")
    if not problems:
        yield from _priced(settings, table, now_s)


def _priced(settings: Settings, table: Table, now_s: float) -> Iterator[Finding]:
    """What has no price, and which overrides do nothing."""
    pricing = build_pricing(settings.prices, settings.providers, settings.models, table)
    is_refused = settings.prices.unpriced is Unpriced.REFUSE
    meaning = "requests for it are refused" if is_refused else "it is in no bill and meets no budget"
    unpriced = set(pricing.unpriced(now_s))
    for name, model in settings.models.items():
        for index, one in enumerate(model.deployments):
            if (one.provider, one.model) in unpriced:
                path = f"models.{name}.deployments[{index}]"
                text = f"{one.model} at {one.provider} has no price: {meaning}; see prices.overrides"
                yield Finding(Level.WARNING, path, text)
    for ruling, why in idle_rulings(in_order((), declared_rulings(settings.prices)), pricing.places):
        yield Finding(Level.WARNING, ruling.place, told_idle(ruling, why))


def _expired(settings: Settings, now: datetime) -> Iterator[Finding]:
    for index, key in enumerate(settings.keys):
        if key.expires_at is not None and key.expires_at <= now:
            text = f"key `{key.id}` expired at {key.expires_at.isoformat()}; nobody can use it any more"
            yield Finding(Level.WARNING, f"keys[{index}].expires_at", text)
        if key.previous is not None and key.previous.until <= now:
            text = f"the old secret of key `{key.id}` ended at {key.previous.until.isoformat()}; it can be removed"
            yield Finding(Level.WARNING, f"keys[{index}].previous", text)


def _spool(settings: Settings) -> Iterator[Finding]:
    """Makes nothing: what is not there yet must be possible to make."""
    if settings.ledger.spool_dir is None:
        return
    folder = Path(settings.ledger.spool_dir)
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not nearest.is_dir():
        text = f"cannot make {folder} on this machine: {nearest} is no folder"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        text = f"cannot write to {nearest} on this machine; a gateway that cannot does not start"
    else:
        return
    yield Finding(Level.WARNING, "ledger.spool_dir", text)


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
