"""The fault suite's scenarios as tables for users: what a provider does, and what a caller gets then."""

from collections.abc import Iterator, Sequence

import msgspec

from trunkline_testkit.fault_outcomes import Kind, Outcome, Scenario
from trunkline_testkit.fault_scenarios import CONNECTING, CUT, DAMAGED, LIMITS, ODD, SLOW
from trunkline_testkit.hearing import CHAT, MESSAGES, Surface

GROUPS: dict[str, Sequence[Scenario]] = {
    "It cannot be reached": CONNECTING,
    "It is slow": SLOW,
    "It breaks off": CUT,
    "It sends something else": DAMAGED,
    "It is odd, and that does no harm": ODD,
    "It says no": LIMITS,
}
_HEAD = "| the provider … | asked for | chat, responses | messages | attempts | with another one |"
_LINE = "|---|---|---|---|---|---|"


def tables() -> str:
    """All of them, each under its heading."""
    return "\n\n".join(f"### {title}\n\n{table(scenarios)}" for title, scenarios in GROUPS.items())


def table(scenarios: Sequence[Scenario]) -> str:
    """One row for each way in which a scenario ends."""
    return "\n".join([_HEAD, _LINE, *(row for scenario in scenarios for row in _rows(scenario))])


def _rows(scenario: Scenario) -> Iterator[str]:
    forms = {"whole": scenario.whole, "stream": scenario.stream}
    ends = {form: made[1] for form, made in forms.items() if made is not None}
    pieces = scenario.from_pieces() if scenario.only != "anthropic" else None
    if pieces is not None:
        ends["assembled"] = pieces
    by_end: dict[bytes, list[str]] = {}
    for form, outcome in ends.items():
        by_end.setdefault(_told(outcome), []).append(form)
    first = scenario.says
    for names in by_end.values():
        outcome = ends[names[0]]
        cells = (
            first,
            ", ".join(names),
            _cell(CHAT, outcome),
            _cell(MESSAGES, outcome),
            str(outcome.attempts),
            "its answer" if outcome.can_be_rescued else "the same",
        )
        yield f"| {' | '.join(cells)} |"
        first = ""


def _told(outcome: Outcome) -> bytes:
    """What callers can tell apart: not where the ledger has its tokens from, unless they get an answer."""
    usage = outcome.usage if outcome.kind is Kind.ANSWERED else ""
    return msgspec.json.encode(msgspec.structs.replace(outcome, usage=usage))


def _cell(surface: Surface, outcome: Outcome) -> str:
    if outcome.kind is Kind.ANSWERED:
        return "the answer" if outcome.usage == "reported" else "the answer; its use is estimated"
    if outcome.kind is Kind.BROKEN:
        return f"broken off, `{surface.error_of(504 if outcome.code == 'timeout' else 502, outcome.code)}`"
    wait = f", `Retry-After: {outcome.retry_after.split('|')[0]}`" if outcome.retry_after else ""
    return f"{outcome.status} `{surface.error_of(outcome.status, outcome.code)}`{wait}"
