"""Policies as they are applied: which checks run, and what an objection leads to. Pure."""

import hashlib
from collections.abc import Iterator
from enum import IntEnum

import msgspec
from msgspec import Struct

from trunkline_kit.errors import ConfigError
from trunkline_kit.settings import Check, OnFail, Policy

SECRETS = "secrets"
ACTIVE_INPUT = frozenset({SECRETS})
"""Checks of the input that this version runs. It runs none of the output."""
PLANNED = frozenset({"pii", "injection", "toxicity", "json_schema", "grounding"})
"""Names that a policy may hold already; they are reported as not enforced."""
VERSION_DIGITS = 12
RESERVED = "@"
"""What no configured policy may begin with."""
EVERYTHING = "@all"
"""The policy that needs no configuration: every check that runs, each of which only flags."""


class Action(IntEnum):
    """What to do, from the mildest to the strictest."""

    ALLOW = 0
    FLAG = 1
    REDACT = 2
    BLOCK = 3


class ActiveCheck(Struct, frozen=True):
    """A check that runs."""

    check: str
    on_fail: Action


class ActivePolicy(Struct, frozen=True):
    """What is checked under one name. There are no active checks of the output yet."""

    name: str
    input: tuple[ActiveCheck, ...]


class PolicyTable(Struct, frozen=True):
    """All policies in force, and the version that names them. Replaced as a whole."""

    policies: dict[str, ActivePolicy]
    version: str


_ACTIONS = {OnFail.BLOCK: Action.BLOCK, OnFail.REDACT: Action.REDACT, OnFail.FLAG: Action.FLAG}


def compile_policies(policies: dict[str, Policy]) -> PolicyTable:
    """The part of `policies` that this version applies.

    Raises ConfigError for a check nobody knows, and for a reaction that a check of the input cannot have: either
    would leave requests unguarded under a policy that looks as if it guarded them.
    """
    if reserved := [name for name in policies if name.startswith(RESERVED)]:
        raise ConfigError(f"policies.{reserved[0]}: names with {RESERVED} in front are Trunkline's own; take another")
    for path, name in _checks(policies):
        if name not in ACTIVE_INPUT | PLANNED:
            known = ", ".join(sorted(ACTIVE_INPUT | PLANNED))
            raise ConfigError(f"{path}.check: no check `{name}`; there are {known}")
    active = {
        name: ActivePolicy(name, _input(f"policies.{name}.guardrails.input", policy.guardrails.input))
        for name, policy in policies.items()
    }
    everything = tuple(ActiveCheck(name, Action.FLAG) for name in sorted(ACTIVE_INPUT))
    active[EVERYTHING] = ActivePolicy(EVERYTHING, everything)
    return PolicyTable(active, _version(policies))


def unenforced(policies: dict[str, Policy]) -> list[str]:
    """The checks that are configured and do not run in this version, one line each, with their path in the file."""
    return [
        f"{path}: `{name}` is not part of this version; nothing is checked"
        for path, name in _checks(policies)
        if ".output[" in path or name not in ACTIVE_INPUT
    ]


def _checks(policies: dict[str, Policy]) -> Iterator[tuple[str, str]]:
    for name, policy in policies.items():
        for side in ("input", "output"):
            for index, check in enumerate(getattr(policy.guardrails, side)):
                yield f"policies.{name}.guardrails.{side}[{index}]", check.check


def _input(path: str, checks: tuple[Check, ...]) -> tuple[ActiveCheck, ...]:
    strictest: dict[str, Action] = {}
    for index, check in enumerate(checks):
        if check.check not in ACTIVE_INPUT:
            continue
        action = _ACTIONS.get(check.on_fail)
        if action is None:
            raise ConfigError(f"{path}[{index}].on_fail: `retry` mends answers; for input choose block, redact or flag")
        strictest[check.check] = max(action, strictest.get(check.check, Action.ALLOW))
    return tuple(ActiveCheck(name, action) for name, action in strictest.items())


def _version(policies: dict[str, Policy]) -> str:
    guarded = {name: policy.guardrails for name, policy in policies.items()}
    return hashlib.sha256(msgspec.json.encode(guarded, order="deterministic")).hexdigest()[:VERSION_DIGITS]
