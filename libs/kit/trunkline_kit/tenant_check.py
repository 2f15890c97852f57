"""What is wrong with limits, budgets, networks and who belongs to whom: in the file, or in one object by itself."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from trunkline_kit.settings import Settings
from trunkline_kit.tenants import Budget, Limit

Problem = tuple[str, str]
"""A path inside the file or the object, and what to mend there."""


def tenant_problems(settings: Settings) -> Iterator[Problem]:
    """Everything that keeps the tenants' part from being served."""
    for path, spec in _all_specs(settings):
        yield from problems_of(spec, f"{path}.")
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
    each = getattr(spec, "end_user", None)
    if each is not None:
        yield from problems_of(each, f"{prefix}end_user.")


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


def _limit(path: str, limit: Limit) -> Iterator[Problem]:
    given = [name for name in ("requests", "tokens", "concurrent") if getattr(limit, name) is not None]
    if len(given) != 1:
        yield path, "needs exactly one of requests, tokens, concurrent"
    elif given != ["concurrent"] and limit.per_s is None:
        yield path, f"{given[0]} needs per_s, the window in seconds"
    elif given == ["concurrent"] and limit.per_s is not None:
        yield path, "concurrent has no window; leave per_s out"


def _budget(path: str, budget: Budget) -> Iterator[Problem]:
    try:
        ZoneInfo(budget.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield f"{path}.time_zone", f"no time zone `{budget.time_zone}`; use a name such as Europe/Berlin or UTC"


def _network(path: str, network: str) -> Iterator[Problem]:
    try:
        ip_network(network, strict=False)
    except ValueError:
        yield path, f"`{network}` is no network; write it such as 10.0.0.0/8 or 2001:db8::/32"
