"""What was given on a command line, as fields of an object."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from trunkline_kit.errors import InvalidRequest
from trunkline_kit.tenants import Budget, Limit
from trunkline_standalone.terms import budget_of, limit_of, moment_of


class Changes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields of an object that were given on the command line. UNSET ones stay as they are; None means the default."""

    id: str | msgspec.UnsetType = msgspec.UNSET
    org: str | msgspec.UnsetType = msgspec.UNSET
    team: str | msgspec.UnsetType = msgspec.UNSET
    project: str | msgspec.UnsetType | None = msgspec.UNSET
    weight: float | msgspec.UnsetType = msgspec.UNSET
    models: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    scopes: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    expires_at: datetime | msgspec.UnsetType | None = msgspec.UNSET
    networks: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    tags: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    limits: tuple[Limit, ...] | msgspec.UnsetType = msgspec.UNSET
    budgets: tuple[Budget, ...] | msgspec.UnsetType = msgspec.UNSET
    priority: str | msgspec.UnsetType = msgspec.UNSET
    policy: str | msgspec.UnsetType | None = msgspec.UNSET
    queue_wait_s: float | msgspec.UnsetType | None = msgspec.UNSET
    when_store_is_down: str | msgspec.UnsetType = msgspec.UNSET


def changes_of(given: Mapping[str, object], now: datetime) -> Changes:
    """None: not given. An empty text takes a field back to its default, as does a list with nothing else in it.

    Raises InvalidRequest for limits, budgets and times that are none, and for an empty text where that would be an
    object without a name, or a key that may do nothing.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in _NEVER_EMPTY and (value == "" or (isinstance(value, list) and not any(value))):
            raise InvalidRequest(_NEVER_EMPTY[name])
        if isinstance(value, list):
            found[name] = tuple(map(_EACH.get(name, str), filter(None, value)))
        elif value == "":
            found[name] = None
        elif value is not None:
            found[name] = moment_of(value, now) if name == "expires_at" and isinstance(value, str) else value
    return Changes(**found)


_NEVER_EMPTY = {
    "id": "an id cannot be empty",
    "models": "--model cannot be empty: give globs over names of models, '*' for all; `trunkline keys disable` stops a"
    " key",
    "scopes": "--scope cannot be empty: give inference, admin:read, admin:write or metrics; `trunkline keys disable`"
    " stops a key",
}
_EACH: dict[str, Callable[[str], object]] = {"limits": limit_of, "budgets": budget_of}
