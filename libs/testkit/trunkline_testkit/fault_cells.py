"""Every scenario on every surface, in front of providers of every dialect: cells, each a model of its own.

A cell has an account of its own too, so that what one does to breakers and accounts is nothing to the others.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from trunkline_testkit import provider_words
from trunkline_testkit.fault_outcomes import LIMIT_BYTES, WAIT_S_MAX, Kind, Outcome, PlayOf, Scenario
from trunkline_testkit.fault_scenarios import LEFT, SCENARIOS, STORM
from trunkline_testkit.faulty import Asked, Play
from trunkline_testkit.hearing import CHAT, MESSAGES, RESPONSES, Surface
from trunkline_testkit.provider_words import ANTHROPIC, OPENAI, Words, body, told

HEALTHY = "healthy"
"""Who answers when others cannot."""
WHOLE, STREAM, PIECES = "whole", "stream", "pieces"
"""A whole answer; a stream; a whole answer that the gateway puts together from a stream."""
ALONE, BACKED = "alone", "backed"
INPUT_USD, OUTPUT_USD = 1, 2
"""A million tokens."""


class Lane(msgspec.Struct, frozen=True):
    """A surface in front of providers of one dialect."""

    surface: Surface
    words: Words

    @property
    def name(self) -> str:
        return f"{self.surface.name}-{self.words.name}"


_TRANSLATED = (Lane(surface, words) for surface in (CHAT, MESSAGES, RESPONSES) for words in (OPENAI, ANTHROPIC))
LANES = {lane.name: lane for lane in (*_TRANSLATED, Lane(RESPONSES, provider_words.RESPONSES))}


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One request in one situation."""

    scenario: Scenario
    lane: Lane
    mode: str
    is_backed: bool
    play: PlayOf
    alone: Outcome
    """What comes of it without anybody else."""

    @property
    def name(self) -> str:
        return f"{self.scenario.name}.{self.lane.name}.{self.mode}.{BACKED if self.is_backed else ALONE}"

    @property
    def is_rescued(self) -> bool:
        return self.is_backed and self.alone.can_be_rescued

    @property
    def attempts(self) -> int:
        """Two each: where there is somebody else, that one is asked before the first is asked again."""
        return 2 if self.is_rescued else self.alone.attempts

    @property
    def reasons(self) -> list[str]:
        """How its attempts end, as `x-trunkline-tried` and the ledger have it."""
        if self.alone.kind is not Kind.REFUSED:
            return ["ok" if self.alone.kind is Kind.ANSWERED else "stream_broken"]
        failed = [self.alone.code] * self.alone.attempts
        return [self.alone.code, "ok"] if self.is_rescued else failed


def cells(scenario: Scenario, lane: Lane) -> Iterator[Cell]:
    """All situations of a scenario in one lane."""
    if scenario.only not in ("", lane.words.kind):
        return
    found = [(WHOLE, scenario.whole), (STREAM, scenario.stream)]
    pieces = scenario.from_pieces()
    if lane.words is OPENAI and scenario.stream is not None and pieces is not None:
        found.append((PIECES, (scenario.stream[0], pieces)))
    for mode, made in found:
        if made is None:
            continue
        for is_backed in (False, True):
            yield Cell(scenario=scenario, lane=lane, mode=mode, is_backed=is_backed, play=made[0], alone=made[1])


def every_cell() -> Iterator[Cell]:
    return (
        cell
        for scenario in (*SCENARIOS.values(), *LEFT, STORM)
        for lane in LANES.values()
        for cell in cells(scenario, lane)
    )


class Stage:
    """Plays cells."""

    def __init__(self) -> None:
        self._cells = {cell.name: cell for cell in every_cell()}

    def play(self, asked: Asked) -> Play:
        """What happens to one request."""
        cell = self._cells.get(asked.name)
        if cell is not None:
            return cell.play(cell.lane.words)
        return told(OPENAI.stream) if asked.wants_stream else body(OPENAI.answer())

    def tree(self, address: str) -> dict[str, Any]:
        """The configuration of a gateway in front of a provider at `address` that plays all of this."""
        providers: dict[str, Any] = {HEALTHY: _account(OPENAI, f"http://{address}", HEALTHY)}
        models: dict[str, Any] = {HEALTHY: {"deployments": [{"provider": HEALTHY, "model": "real"}]}}
        for cell in self._cells.values():
            scenario = cell.scenario
            account = _account(cell.lane.words, f"{scenario.scheme}://{scenario.host or address}", cell.name)
            if cell.mode == PIECES:
                account["assemble_streams"] = "auto"
            providers[cell.name] = account
            models[cell.name] = _model(cell)
        overrides = [{"provider": name, "input_usd": INPUT_USD, "output_usd": OUTPUT_USD} for name in providers]
        return {"providers": providers, "models": models, "prices": {"overrides": overrides}}


def _account(words: Words, base: str, name: str) -> dict[str, Any]:
    if words is ANTHROPIC:
        return {"kind": "anthropic", "base_url": f"{base}/{name}"}
    form = "translated" if words is OPENAI else "native"
    account = {"kind": "openai", "base_url": f"{base}/{name}/v1", "responses": form}
    return {**account, "response_limit_bytes": LIMIT_BYTES}


def _model(cell: Cell) -> dict[str, Any]:
    spare = [HEALTHY] if cell.is_backed else []
    return {
        "deployments": [{"provider": cell.name, "model": "real"}],
        "fallbacks": {"on_error": spare, "on_context_window": spare, "on_content_policy": spare},
        "timeouts": cell.scenario.timeouts,
        "retries": {"max_attempts": 2, "wait_s_max": WAIT_S_MAX},
    }
