"""Several gateways on one store, bursts of 1,000: what is admitted is what the limit says, however many there are."""

import asyncio
import secrets
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.admission.admission import Demand
from trunkline_gateway.admission.batching import Patience
from trunkline_gateway.admission.levels import Bounds, Level, Shelf
from trunkline_gateway.admission.opening import GateOptions, open_gate
from trunkline_kit.clock import SystemClock
from trunkline_kit.errors import BudgetExceeded, ConcurrencyExceeded, RateLimited
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.secrets import Secret
from trunkline_kit.tenants import Budget, Limit, Period, WhenStoreIsDown
from trunkline_kit.tracing import Tracing
from trunkline_testkit.valkey import valkey_server

BURST = 1_000
ESTIMATE, ACTUAL = 100, 130
"""Tokens: every request turns out to need more than was thought."""
NUSD_PER_TOKEN = 1_000
PATIENT = GateOptions(patience=Patience(timeout_s=20))
"""One event loop for all of them, on a machine that does other things: nobody may be called down for that."""


@pytest.fixture(scope="module")
def url():
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder)) as server:
        yield server.url


async def demand(limits=(), budgets=()):
    name = f"k-{secrets.token_hex(4)}"
    shelf = await asyncio.to_thread(Shelf, {name: Bounds(limits, budgets)}, Level.KEY)
    return Demand(
        rules=shelf.rules("acme", name),
        when_down=WhenStoreIsDown.CLOSED,
        total_s=60,
        tokens=ESTIMATE,
        cost_nusd=ESTIMATE * NUSD_PER_TOKEN,
    )


async def burst(url, gateways, wanted, *, settle):
    """How many of 1,000 requests that arrive at once, spread over the gateways, are admitted."""
    admitted = 0
    async with AsyncExitStack() as stack:
        gates = []
        for _ in range(gateways):
            kit = Kit(net=Net(), clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})
            gates.append(await stack.enter_async_context(open_gate(Secret(url), kit, PATIENT)))

        async def one(gate):
            nonlocal admitted
            try:
                ticket = await gate.admission.admit(wanted)
            except (RateLimited, BudgetExceeded, ConcurrencyExceeded):
                return
            admitted += 1
            if settle:
                gate.admission.settle(ticket, ACTUAL, ACTUAL * NUSD_PER_TOKEN)

        async with asyncio.TaskGroup() as group:
            for number in range(BURST):
                group.create_task(one(gates[number % gateways]))
    return admitted


@pytest.mark.parametrize("gateways", [1, 3, 5])
async def test_requests_are_exact(url, gateways):
    wanted = await demand([Limit(requests=317, per_s=600)])
    assert await burst(url, gateways, wanted, settle=True) == 317


@pytest.mark.parametrize("gateways", [1, 3, 5])
async def test_concurrency_is_exact(url, gateways):
    assert await burst(url, gateways, await demand([Limit(concurrent=41)]), settle=False) == 41


@pytest.mark.parametrize("gateways", [1, 3, 5])
async def test_tokens_and_money_that_are_reserved_never_go_over(url, gateways):
    by_tokens = await demand([Limit(tokens=20_050, per_s=600)])
    assert await burst(url, gateways, by_tokens, settle=False) == 200
    by_money = await demand(budgets=[Budget(amount_usd=0.02005, period=Period.TOTAL)])
    assert await burst(url, gateways, by_money, settle=False) == 200


@pytest.mark.parametrize("gateways", [1, 3, 5])
async def test_tokens_and_money_overshoot_by_what_estimates_were_short_of(url, gateways):
    """Settled as soon as admitted, each with 30 % more than was thought."""
    limit = 20_050
    for wanted in (
        await demand([Limit(tokens=limit, per_s=600)]),
        await demand(budgets=[Budget(amount_usd=limit * NUSD_PER_TOKEN / 1e9, period=Period.TOTAL)]),
    ):
        admitted = await burst(url, gateways, wanted, settle=True)
        print(f"{gateways} gateways: {admitted * ACTUAL} of {limit} tokens")  # noqa: T201 - pytest shows it with -s
        in_flight = admitted * ACTUAL - limit
        assert admitted >= limit // ACTUAL
        assert in_flight <= admitted * (ACTUAL - ESTIMATE)
