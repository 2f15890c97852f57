"""The end of a request: what it cost, as a header, as metrics and as rows of the ledger."""

import asyncio

from opentelemetry.trace import Span, format_trace_id
from prometheus_client import CollectorRegistry, Counter

from trunkline_gateway.ledger.attempt_ids import attempt_id
from trunkline_gateway.ledger.books import Books
from trunkline_gateway.ledger.entries import Ending, rows_needed, rows_of
from trunkline_gateway.ledger.rows import AttemptRow
from trunkline_gateway.prices.charges import reported
from trunkline_gateway.prices.pricing import Pricing
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import Clock
from trunkline_policy import estimates
from trunkline_policy.money import NUSD_PER_USD, usd_text


class Bookkeeper:
    """Settles requests. Without books it still counts."""

    def __init__(self, books: Books | None, clock: Clock, registry: CollectorRegistry) -> None:
        self.books = books
        self._clock = clock
        self._cost = Counter(
            "trunkline_cost_usd",
            "Dollars spent at providers, estimates included.",
            ["provider", "model"],
            registry=registry,
        )
        self._unpriced = Counter(
            "trunkline_unpriced_attempts",
            "Attempts of which nobody knows the price: they are in the ledger without a cost.",
            ["provider", "model"],
            registry=registry,
        )

    def price(self, turn: Turn, pricing: Pricing, answer: bytes) -> None:
        """Note what a whole answer costs, for its header, where its use was reported and has a price."""
        target, told = turn.target, reported(turn.usage)
        if told is None:
            turn.said_tokens = estimates.input_tokens(len(answer), estimates.PRIORS[estimates.Script.ASCII])
        if target is None or told is None:
            return
        cost = pricing.cost(target.provider, target.provider_model, told, self._clock.now_s())
        turn.cost_usd = "" if cost.unpriced else usd_text(cost.cost_nusd)

    def settle(self, turn: Turn, pricing: Pricing, body: bytes, span: Span) -> None:
        """Write down each attempt. Never waits; whatever happened to the request, it is called once."""
        needed = rows_needed(turn)
        if not needed:
            return
        now_s = self._clock.now_s()
        context = span.get_span_context()
        ending = Ending(
            now_s=now_s,
            loop_s=asyncio.get_running_loop().time(),
            body=body,
            trace_id=format_trace_id(context.trace_id) if context.is_valid else "",
            ids=[attempt_id(now_s) for _ in range(needed)],
        )
        for row in rows_of(turn, pricing, ending):
            self._count(row)
            if self.books is not None:
                self.books.record(row)

    def _count(self, row: AttemptRow) -> None:
        """Providers and models are names of the configuration: closed sets."""
        if row.unpriced:
            self._unpriced.labels(row.provider, row.model).inc()
        elif row.cost_nusd:
            self._cost.labels(row.provider, row.model).inc(row.cost_nusd / NUSD_PER_USD)
