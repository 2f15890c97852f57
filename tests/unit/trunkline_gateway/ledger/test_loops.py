import asyncio

import pytest

from trunkline_gateway.ledger import loops
from trunkline_gateway.ledger.loops import forever


async def test_what_fails_is_in_the_log_and_done_again(monkeypatch, caplog):
    monkeypatch.setattr(loops, "PAUSE_S", 0.0)
    outcomes = [None, RuntimeError("surprise"), None, asyncio.CancelledError()]

    async def step():
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    with pytest.raises(asyncio.CancelledError):
        await forever("counting", step)
    assert outcomes == []
    assert "counting failed" in caplog.text
    assert "surprise" in caplog.text
