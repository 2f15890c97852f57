"""What an object must be to be taken, as far as it can be told without the database."""

import re
from datetime import UTC, datetime

from trunkline_gateway.directory.declared import Declared
from trunkline_gateway.directory.needs import Need, needs_of
from trunkline_gateway.directory.objects import ID_PATTERN, SPECS, Draft, Kind, Spec
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.errors import InvalidRequest
from trunkline_kit.tenant_check import problems_of
from trunkline_kit.tenants import KeySpec, Team

_ID = re.compile(ID_PATTERN)
_ID_CHARS_SHOWN = 128


def is_id(text: str) -> bool:
    """Whether anything can be stored under it."""
    return _ID.fullmatch(text) is not None


def check_id(text: str) -> None:
    """Raises InvalidRequest for what can be no id."""
    if not is_id(text):
        raise InvalidRequest(
            f"the id {text[:_ID_CHARS_SHOWN]!r} cannot be used: take 1 to 128 letters, digits and . _ : @ / + -,"
            " the first a letter or a digit",
            param="id",
        )


def check_draft(draft: Draft, declared: Declared) -> None:
    """By itself, and against what only the file knows. Looks up time zones in files.

    Raises InvalidRequest with the field that is wrong.
    """
    spec = draft.spec
    if not isinstance(spec, SPECS[draft.kind]):
        raise InvalidRequest(
            f"a {type(spec).__name__} is no {draft.kind.value}; send the fields of a {draft.kind.value}"
        )
    for path, message in problems_of(spec):
        raise InvalidRequest(f"{path}: {message}", param=path)
    if isinstance(spec, KeySpec) and spec.policy is not None and spec.policy not in declared.policies:
        raise _not_in_file("policy", spec.policy, "policy")
    if isinstance(spec, PriceOverride) and spec.provider not in declared.providers:
        raise _not_in_file("provider", spec.provider, "provider")
    if draft.kind is Kind.MODEL and draft.id not in declared.models:
        raise _not_in_file("model", draft.id, "id")


def check_expiry(spec: Spec, now_s: float) -> None:
    """Raises InvalidRequest for a key that would never have worked."""
    expires_at = spec.expires_at if isinstance(spec, KeySpec) else None
    if expires_at is not None and expires_at <= datetime.fromtimestamp(now_s, UTC):
        raise InvalidRequest(f"expires_at {expires_at.isoformat()} is not in the future", param="expires_at")


def needs_beyond(declared: Declared, spec: Spec) -> list[Need]:
    """What must be in the database: all that the file does not have. Raises InvalidRequest for a project elsewhere."""
    beyond = []
    for need in needs_of(spec):
        found = declared.of(need.kind).get(need.id)
        if found is not None:
            need.check(found.spec)
        elif need.kind is not Kind.ORG or need.id not in _orgs_of(declared):
            beyond.append(need)
    return beyond


def _orgs_of(declared: Declared) -> frozenset[str]:
    """An org of the file's teams is there without being declared itself."""
    teams = declared.of(Kind.TEAM).values()
    return frozenset(item.spec.org for item in teams if isinstance(item.spec, Team))


def _not_in_file(what: str, name: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"there is no {what} {name!r} in the configuration file", param=param)
