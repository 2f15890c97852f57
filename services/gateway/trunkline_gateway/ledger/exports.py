"""Usage as files for others: CSV, JSON, and FOCUS, the FinOps cost format.

FOCUS columns are those of version 1.2 that can be filled from a ledger of tokens; those that are required and do not
apply are there and empty. Source: FinOps Open Cost and Usage Specification 1.2, "Columns" (read 2026-11-24).
"""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from trunkline_gateway.ledger.report import Line, Query

FOCUS_BY = ("org", "team", "project", "provider", "provider_model", "model", "price")
"""What a FOCUS row is one of, for each day."""
FOCUS_COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
)
_RISKY = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to spreadsheets."""
_COUNTS = tuple(name for name in Line.__struct_fields__ if name not in {"begins", "by", "cost_nusd"})


def table(lines: Sequence[Line], query: Query) -> tuple[list[str], list[list[str]]]:
    """Header and cells as text."""
    bucket = ["begins"] if query.bucket else []
    header = [*bucket, *dict.fromkeys(query.by), *_COUNTS, "cost_usd"]
    return header, [_cells(line, query) for line in lines]


def csv_text(lines: Sequence[Line], query: Query) -> str:
    """With a header, as in RFC 4180."""
    header, cells = table(lines, query)
    return _csv(header, cells)


def json_text(lines: Sequence[Line]) -> str:
    """A list of objects; `cost_usd` is text, since it is exact."""
    objects = [
        {**({"begins": line.begins} if line.begins else {}), **line.by}
        | {name: getattr(line, name) for name in (*_COUNTS, "cost_nusd", "cost_usd")}
        for line in lines
    ]
    return msgspec.json.format(msgspec.json.encode(objects), indent=2).decode()


def focus_query(since: datetime, until: datetime) -> Query:
    """What `focus_text` needs its lines to be."""
    return Query(since=since, until=until, by=FOCUS_BY, bucket="day")


def focus_text(lines: Sequence[Line]) -> str:
    """One row for each day, account, sub-account, model and price. Answers from the cache cost nothing: no rows."""
    rows = [_focus(line) for line in lines if line.attempts]
    return _csv(list(FOCUS_COLUMNS), [[row.get(name, "") for name in FOCUS_COLUMNS] for row in rows])


def _focus(line: Line) -> dict[str, str]:
    day = line.begins or datetime.fromtimestamp(0, UTC)
    month = day.replace(day=1)
    by = line.by
    cost = line.cost_usd
    return {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), cost),
        **dict.fromkeys(("BillingAccountId", "BillingAccountName"), by["org"]),
        "BillingCurrency": "USD",
        "BillingPeriodStart": _stamp(month),
        "BillingPeriodEnd": _stamp((month + timedelta(days=32)).replace(day=1)),
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{line.tokens} tokens of {by['provider_model']} in {line.attempts} attempts",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _stamp(day),
        "ChargePeriodEnd": _stamp(day + timedelta(days=1)),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), str(line.tokens)),
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), "Tokens"),
        **dict.fromkeys(("InvoiceIssuerName", "ProviderName", "PublisherName"), by["provider"]),
        **dict.fromkeys(("ResourceId", "ResourceName"), by["model"]),
        "ResourceType": "Model",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Model inference",
        "SkuId": by["provider_model"],
        "SkuPriceId": by["price"],
        **dict.fromkeys(("SubAccountId", "SubAccountName"), by["team"]),
        "Tags": msgspec.json.encode(_tags(line)).decode(),
    }


def _tags(line: Line) -> dict[str, str]:
    found = {
        "project": line.by["project"],
        "unpriced_attempts": str(line.unpriced_attempts or ""),
        "estimated_attempts": str(line.estimated_attempts or ""),
    }
    return {f"trunkline/{name}": value for name, value in found.items() if value}


def _cells(line: Line, query: Query) -> list[str]:
    bucket = [_stamp(line.begins)] if query.bucket and line.begins else []
    return [*bucket, *line.by.values(), *(str(getattr(line, name)) for name in _COUNTS), line.cost_usd]


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _csv(header: list[str], rows: list[list[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return out.getvalue()


def _safe(cell: str) -> str:
    """Names come from people; a spreadsheet must not run them."""
    return f"'{cell}" if cell.startswith(_RISKY) and not _is_number(cell) else cell


def _is_number(cell: str) -> bool:
    return cell.lstrip("-").replace(".", "", 1).isdigit()
