"""What an object must be to be taken, as far as it can be told without the database."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from trunkline_gateway.directory.declared import Declared
from trunkline_gateway.directory.needs import Need, needs_of
from trunkline_gateway.directory.objects import ID_PATTERN, ID_RULE, SPECS, Draft, Kind, Spec
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.errors import Conflict, InvalidRequest
from trunkline_kit.oidc_check import is_issuers
from trunkline_kit.tenant_check import problems_of, refusals_of
from trunkline_kit.tenants import KeySpec

_ID = re.compile(ID_PATTERN)
_ID_CHARS_SHOWN = 128


def is_id(text: str) -> bool:
    """Whether anything can be stored under it."""
    return _ID.fullmatch(text) is not None


def check_id(text: str) -> None:
    """Raises InvalidRequest for what can be no id."""
    if not is_id(text):
        raise InvalidRequest(
            f"the id {text[:_ID_CHARS_SHOWN]!r} cannot be used: take {ID_RULE}",
            param="id",
        )


def check_name(draft: Draft, declared: Declared) -> None:
    """Of something new. Raises InvalidRequest for a model that is not configured, Conflict for an issuer's name.

    A key of an issuer's name would be taken for its tokens: in limits, in the ledger and as an actor.
    """
    check_id(draft.id)
    if draft.kind is Kind.MODEL and draft.id not in declared.models:
        raise _not_in_file("model", draft.id, "id")
    if draft.kind is Kind.KEY and is_issuers(draft.id, declared.issuers):
        raise Conflict(
            f"key ids cannot be the name of an issuer under identity.oidc, or begin with it and a slash: {draft.id!r}"
            " is how its tokens are known; choose another id",
            param="id",
        )


def check_draft(draft: Draft, declared: Declared, known: Spec | None = None) -> None:
    """By itself, and against what only the file knows. Looks up time zones in files.

    What is already so in `known` is not looked at: a key whose policy left the file can still be disabled.

    Raises InvalidRequest with the field that is wrong.
    """
    spec = draft.spec
    if not isinstance(spec, SPECS[draft.kind]):
        raise InvalidRequest(
            f"a {type(spec).__name__} is no {draft.kind.value}; send the fields of a {draft.kind.value}"
        )
    for what, name, there in _named(spec, declared):
        if name is not None and name not in there and name != getattr(known, what, None):
            raise _not_in_file(what, name, what)
    accepted = frozenset(_wrong(known)) if known is not None else frozenset()
    for path, message in _wrong(spec):
        if (path, message) not in accepted:
            raise InvalidRequest(f"{path}: {message}", param=path)


def _wrong(spec: Spec) -> Iterator[tuple[str, str]]:
    yield from problems_of(spec)
    yield from refusals_of(spec)


def _named(spec: Spec, declared: Declared) -> Iterator[tuple[str, str | None, frozenset[str]]]:
    """Fields that name something that only the file has, their values, and what there is."""
    if isinstance(spec, KeySpec):
        yield "policy", spec.policy, declared.policies
    if isinstance(spec, PriceOverride):
        yield "provider", spec.provider, declared.providers


def check_expiry(spec: Spec, now_s: float) -> None:
    """Raises InvalidRequest for a key that would never have worked."""
    expires_at = spec.expires_at if isinstance(spec, KeySpec) else None
    if expires_at is not None and expires_at <= datetime.fromtimestamp(now_s, UTC):
        raise InvalidRequest(f"expires_at {expires_at.isoformat()} is not in the future", param="expires_at")


def needs_beyond(declared: Declared, spec: Spec, known: Spec | None = None) -> list[Need]:
    """What must be in the database: all that the file does not have, and `known` did not need already.

    Raises InvalidRequest for a project elsewhere.
    """
    before = frozenset(needs_of(known)) if known is not None else frozenset()
    beyond = []
    for need in needs_of(spec):
        if need in before:
            continue
        found = declared.of(need.kind).get(need.id)
        if found is not None:
            need.check(found.spec)
        elif need.id not in declared.implied(need.kind):
            beyond.append(need)
    return beyond


def _not_in_file(what: str, name: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"there is no {what} {name!r} in the configuration file", param=param)
