"""What is wrong with limits, budgets, networks and who belongs to whom: in the file, or in one object by itself."""

from collections import Counter
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from trunkline_kit.accounts import PriceOverride
from trunkline_kit.settings import Settings
from trunkline_kit.tenants import Budget, Limit

Problem = tuple[str, str]
"""A path inside the file or the object, and what to mend there."""
_OURS = "~"
"""What copies of requests are booked under begins so: no caller's."""
_MEASURES = ("requests", "tokens", "concurrent")


def tenant_problems(settings: Settings) -> Iterator[Problem]:
    """Everything that keeps the tenants' part from being served."""
    for path, spec in _all_specs(settings):
        yield from problems_of(spec, f"{path}.")
    yield from _reserved(settings)
    for name, project in settings.projects.items():
        if project.team != "default" and project.team not in settings.teams:
            yield f"projects.{name}.team", f"no team `{project.team}`"
    for index, key in enumerate(settings.keys):
        if key.project is None:
            continue
        owner = settings.projects.get(key.project)
        if owner is None:
            yield f"keys[{index}].project", f"no project `{key.project}`"
        elif owner.team != key.team:
            yield f"keys[{index}].project", f"`{key.project}` belongs to team `{owner.team}`, the key to `{key.team}`"


def _reserved(settings: Settings) -> Iterator[Problem]:
    for group in ("orgs", "teams", "projects"):
        for name in getattr(settings, group):
            if name.startswith(_OURS):
                yield f"{group}.{name}", f"names that begin with `{_OURS}` are the gateway's own; use another one"


def problems_of(spec: Struct, prefix: str = "") -> Iterator[Problem]:
    """What is wrong with a spec by itself, whatever else there is; paths begin with `prefix`.

    Looks at the fields limits, budgets, end_user and networks, as far as it has them. Looks up time zones in files.
    """
    for position, limit in enumerate(getattr(spec, "limits", ())):
        yield from _limit(f"{prefix}limits[{position}]", limit)
    for position, budget in enumerate(getattr(spec, "budgets", ())):
        yield from _budget(f"{prefix}budgets[{position}]", budget)
    for position, network in enumerate(getattr(spec, "networks", ())):
        yield from _network(f"{prefix}networks[{position}]", network)
    if isinstance(spec, PriceOverride):
        yield from _override(prefix, spec)
    each = getattr(spec, "end_user", None)
    if each is not None:
        yield from problems_of(each, f"{prefix}end_user.")


def refusals_of(spec: Struct, prefix: str = "") -> Iterator[Problem]:
    """What nobody is let write into a spec through the admin API, though one that has it can be served."""
    for field in ("models", "scopes"):
        if getattr(spec, field, None) == ():
            yield f"{prefix}{field}", "an empty list lets the key do nothing; to stop a key, say disabled: true"
    yield from _doubles(spec, prefix)
    each = getattr(spec, "end_user", None)
    if each is not None:
        yield from refusals_of(each, f"{prefix}end_user.")


def _doubles(spec: Struct, prefix: str) -> Iterator[Problem]:
    limits: tuple[Limit, ...] = getattr(spec, "limits", ())
    for (measure, per_s), count in Counter((_given(limit), limit.per_s) for limit in limits).items():
        if count > 1 and len(measure) == 1:
            window = "" if per_s is None else f" per {per_s:g} s"
            yield f"{prefix}limits", f"{count} limits of {measure[0]}{window}; keep one, since only the tightest holds"
    budgets: tuple[Budget, ...] = getattr(spec, "budgets", ())
    for period, count in Counter(budget.period.value for budget in budgets).items():
        if count > 1:
            yield f"{prefix}budgets", f"{count} budgets per {period}; keep one"


def _given(limit: Limit) -> tuple[str, ...]:
    return tuple(name for name in _MEASURES if getattr(limit, name) is not None)


def _all_specs(settings: Settings) -> Iterator[tuple[str, Struct]]:
    named: dict[str, Mapping[str, Struct]] = {
        "orgs": settings.orgs,
        "models": settings.models,
        "teams": settings.teams,
        "projects": settings.projects,
        "tags": settings.tags,
        "identity.oidc": settings.identity.oidc,
    }
    for place, specs in named.items():
        for name, spec in specs.items():
            yield f"{place}.{name}", spec
    for index, key in enumerate(settings.keys):
        yield f"keys[{index}]", key
    for index, override in enumerate(settings.prices.overrides):
        yield f"prices.overrides[{index}]", override


def _limit(path: str, limit: Limit) -> Iterator[Problem]:
    given = _given(limit)
    if len(given) != 1:
        yield path, "needs exactly one of requests, tokens, concurrent"
    elif given != ("concurrent",) and limit.per_s is None:
        yield path, f"{given[0]} needs per_s, the window in seconds"
    elif given == ("concurrent",) and limit.per_s is not None:
        yield path, "concurrent has no window; leave per_s out"


def _budget(path: str, budget: Budget) -> Iterator[Problem]:
    try:
        ZoneInfo(budget.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield f"{path}.time_zone", f"no time zone `{budget.time_zone}`; use a name such as Europe/Berlin or UTC"


_PRICES = ("input_usd", "output_usd", "request_usd", "gpu_second_usd")


def _override(prefix: str, override: PriceOverride) -> Iterator[Problem]:
    """Without this, whoever forgets the price gives a model away."""
    if all(getattr(override, name) is None for name in _PRICES):
        yield f"{prefix}{_PRICES[0]}", f"no price: give one of {', '.join(_PRICES)}; 0 for a model that is free"


def _network(path: str, network: str) -> Iterator[Problem]:
    try:
        ip_network(network, strict=False)
    except ValueError:
        yield path, f"`{network}` is no network; write it such as 10.0.0.0/8 or 2001:db8::/32"
