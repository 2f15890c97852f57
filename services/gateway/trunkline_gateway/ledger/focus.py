"""Usage as FOCUS, the FinOps cost format: which columns, and what stands in them.

Columns are those of version 1.2 that are mandatory, and those beyond that a ledger of tokens can fill; what has no
column there is in own ones, with `x_` before their names as the specification wants it. The price version is one of
these: a `SkuPriceId` must not change with the price, so it is the `SkuId`, which the specification allows. Source:
FinOps Open Cost and Usage Specification 1.2; its list of mandatory columns as public exporters for it have it, single
columns in its repository, `specification/columns` (read 2026-11-24).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import structs

from trunkline_gateway.ledger.questions import LINES_MAX, Query
from trunkline_gateway.ledger.report import Line

FOCUS_BY = ("org", "team", "project", "provider", "provider_model", "model", "price")
"""What a FOCUS row is one of, for each day."""
_TOKEN_COLUMNS = {
    "x_UncachedInputTokens": "uncached_input_tokens",
    "x_CacheReadTokens": "cache_read_tokens",
    "x_CacheWriteTokens": "cache_write_tokens",
    "x_OutputTokens": "output_tokens",
    "x_ReasoningTokens": "reasoning_tokens",
    "x_AudioInputTokens": "audio_input_tokens",
    "x_ImageInputTokens": "image_input_tokens",
    "x_AudioOutputTokens": "audio_output_tokens",
    "x_ImageOutputTokens": "image_output_tokens",
    "x_Attempts": "attempts",
    "x_EstimatedAttempts": "estimated_attempts",
    "x_UnpricedAttempts": "unpriced_attempts",
}
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
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_PriceVersion",
    *_TOKEN_COLUMNS,
)


def focus_query(query: Query) -> Query:
    """The same time and filters, split as FOCUS rows are: days of UTC, since FOCUS knows no other."""
    return structs.replace(query, by=FOCUS_BY, bucket="day", time_zone="UTC", limit=LINES_MAX, after="")


def focus_rows(lines: Sequence[Line]) -> Iterator[dict[str, str]]:
    """One for each day, account, sub-account, model and price. Answers from the cache cost nothing: no rows."""
    for line in lines:
        if line.attempts:
            yield _row(line)


def _row(line: Line) -> dict[str, str]:
    day = line.begins or datetime.fromtimestamp(0, UTC)
    month = day.replace(day=1)
    by = line.by
    return {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), line.cost_usd),
        **dict.fromkeys(("BillingAccountId", "BillingAccountName"), by["org"]),
        "BillingCurrency": "USD",
        "BillingPeriodStart": _stamp(month),
        "BillingPeriodEnd": _stamp((month + timedelta(days=32)).replace(day=1)),
        "ChargeCategory": "Usage",
        # Null: no row corrects an earlier one.
        "ChargeClass": "",
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
        "ServiceSubcategory": "Generative AI",
        "SkuId": by["provider_model"],
        "SkuPriceId": by["provider_model"],
        "x_PriceVersion": by["price"],
        **dict.fromkeys(("SubAccountId", "SubAccountName"), by["team"]),
        "Tags": _tags(line),
        **{column: str(getattr(line, name)) for column, name in _TOKEN_COLUMNS.items()},
    }


def _tags(line: Line) -> str:
    project = line.by["project"]
    return msgspec.json.encode({"trunkline/project": project} if project else {}).decode()


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
