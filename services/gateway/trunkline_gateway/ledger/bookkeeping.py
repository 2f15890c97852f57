"""A request in the books: noted before it is sent; at its end what it cost, as a header, as metrics and as rows."""

import asyncio

from prometheus_client import CollectorRegistry, Counter

from trunkline_gateway.ledger.attempt_ids import attempt_id
from trunkline_gateway.ledger.books import Books
from trunkline_gateway.ledger.entries import NO_ID, Ending, opened, read_tokens, rows_of
from trunkline_gateway.ledger.rows import CACHED, AttemptRow
from trunkline_gateway.ledger.slots import NO_SLOT, Progress
from trunkline_gateway.prices.charges import lasted_us, reported
from trunkline_gateway.prices.pricing import Billing, Pricing
from trunkline_gateway.surface import WORDLESS
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import Clock
from trunkline_policy import estimates
from trunkline_policy.costs import MICROS_PER_SECOND
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
        if told is None and turn.surface not in WORDLESS:
            turn.said_tokens = estimates.input_tokens(len(answer), estimates.PRIORS[estimates.Script.ASCII])
        if target is None or told is None or not turn.tried:
            return
        tried = turn.final
        billing = Billing(team=turn.principal.team, duration_us=lasted_us(turn, tried, tried.started_s))
        cost = pricing.cost(target.provider, target.provider_model, told, self._clock.now_s(), billing)
        turn.cost_usd = "" if cost.unpriced else usd_text(cost.cost_nusd)

    def begin(self, turn: Turn, body: bytes) -> None:
        """Note the attempt that is about to be sent, so that it has a row even if this process is killed."""
        if self.books is None:
            return
        tried = turn.tried[-1]
        now_s = self._clock.now_s()
        tried.attempt_id, tried.started_us = attempt_id(now_s), round(now_s * MICROS_PER_SECOND)
        turn.read_tokens = turn.read_tokens or read_tokens(turn, body)
        tried.slot = self.books.begin(opened(turn))

    def progress(self, turn: Turn) -> Progress | None:
        """Counts the stream of the attempt that answers; None where nobody would read it."""
        if self.books is None:
            return None
        tried = turn.final
        return self.books.progress(tried.slot, tried.started_s)

    def settle(self, turn: Turn, pricing: Pricing, body: bytes) -> None:
        """Write down each attempt. Never waits; whatever happened to the request, it is called once."""
        cached = turn.outcome == CACHED
        if not cached and not turn.tried:
            return
        now_s = self._clock.now_s()
        ending = Ending(
            now_s=now_s,
            loop_s=asyncio.get_running_loop().time(),
            body=body,
            cached_id=attempt_id(now_s) if cached else NO_ID,
        )
        slots = [NO_SLOT] if cached else [tried.slot for tried in turn.tried]
        for row, slot in zip(rows_of(turn, pricing, ending), slots, strict=True):
            self._count(row)
            if self.books is not None:
                self.books.record(row, slot)

    def _count(self, row: AttemptRow) -> None:
        """Providers and models are names of the configuration: closed sets."""
        if row.unpriced:
            self._unpriced.labels(row.provider, row.model).inc()
        elif row.cost_nusd:
            self._cost.labels(row.provider, row.model).inc(row.cost_nusd / NUSD_PER_USD)
