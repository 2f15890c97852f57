"""`trunkline prices show | import | diff`."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from trunkline_gateway.prices.importer import installed_table
from trunkline_gateway.prices.table import DatedPrice, Table, differences, encode_table, load_table
from trunkline_kit.errors import ModelNotFound
from trunkline_policy.costs import Rates
from trunkline_policy.money import usd_text


def run_show(model: str, provider: str | None, file: Path | None) -> None:
    """Print what a model costs, wherever the table knows it. Raises ModelNotFound."""
    table = load_table(str(file) if file else None)
    lines = list(shown(table, model, provider))
    if not lines:
        where = f" at {provider}" if provider else ""
        raise ModelNotFound(f"{table.version} has no price for {model}{where}; name one in prices.overrides")
    _say("\n".join(lines))


def shown(table: Table, model: str, provider: str | None) -> Iterator[str]:
    """One tab-separated line for each provider and day from which a price holds."""
    for place in table.providers:
        if provider is not None and place.id != provider:
            continue
        found = table.find(place, model)
        if found is None or (provider is None and found[0] is not place):
            continue
        for dated in found[1].prices:
            yield f"{place.id}\t{found[1].id}\t{told(dated)}"


def run_import(to: Path) -> None:
    """Write the table of the installed `genai-prices` to a file. Raises Unavailable where it is not installed."""
    table = installed_table()
    to.write_bytes(encode_table(table))
    models = sum(len(place.models) for place in table.providers)
    _say(f"{to}: {models} models of {len(table.providers)} providers, {table.version}; use it as prices.table")


def run_diff(before: Path | None, after: Path | None) -> None:
    """Print what differs between two tables; left out: the one that comes with Trunkline, the installed source."""
    old = load_table(str(before) if before else None)
    new = load_table(str(after)) if after else installed_table()
    changes = differences(old, new)
    for change in changes:
        _say(f"{change.provider}\t{change.model}\t{_all(change.before)}\t->\t{_all(change.after)}")
    _say(f"{old.version} to {new.version}: {len(changes)} models differ")


def told(dated: DatedPrice) -> str:
    """A price for people: dollars per million tokens."""
    texts = [_rates(dated.price.rates)]
    texts += [f"above {tier.above_input_tokens} input tokens {_rates(tier.rates)}" for tier in dated.price.tiers]
    since = f"since {dated.since}: " if dated.since else ""
    return since + "; ".join(texts)


def _all(prices: Sequence[DatedPrice]) -> str:
    return " | ".join(told(one) for one in prices) or "none"


def _rates(rates: Rates) -> str:
    named = {
        "input": rates.input,
        "output": rates.output,
        "cache read": rates.cache_read,
        "cache write": rates.cache_write,
        "reasoning": rates.reasoning,
    }
    texts = [f"{name} ${usd_text(rate)}" for name, rate in named.items() if rate is not None]
    if rates.request_nusd:
        texts.append(f"request ${usd_text(rates.request_nusd)} each")
    return ", ".join(texts)


def _say(text: str) -> None:
    print(text, file=sys.stdout)  # noqa: T201 - the command's answer
