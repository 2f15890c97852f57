"""What is wrong with limits, budgets and who belongs to whom."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trunkline_kit.settings import Settings
from trunkline_kit.tenants import Budget, Limit, PerEndUser

Problem = tuple[str, str]
"""A path inside the file, and what to mend there."""
Bounds = tuple[str, tuple[Limit, ...], tuple[Budget, ...]]


def tenant_problems(settings: Settings) -> Iterator[Problem]:
    """Everything that keeps the tenants' part from being served."""
    for path, limits, budgets in _all_bounds(settings):
        for position, limit in enumerate(limits):
            yield from _limit(f"{path}.limits[{position}]", limit)
        for position, budget in enumerate(budgets):
            yield from _budget(f"{path}.budgets[{position}]", budget)
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


def _all_bounds(settings: Settings) -> Iterator[Bounds]:
    for org_name, org in settings.orgs.items():
        yield f"orgs.{org_name}", org.limits, org.budgets
    for model_name, model in settings.models.items():
        yield f"models.{model_name}", model.limits, model.budgets
    for team_name, team in settings.teams.items():
        yield f"teams.{team_name}", team.limits, team.budgets
        yield _per_end_user(f"teams.{team_name}", team.end_user)
    for project_name, project in settings.projects.items():
        yield f"projects.{project_name}", project.limits, project.budgets
        yield _per_end_user(f"projects.{project_name}", project.end_user)
    for index, key in enumerate(settings.keys):
        yield f"keys[{index}]", key.limits, key.budgets
        yield _per_end_user(f"keys[{index}]", key.end_user)


def _per_end_user(path: str, each: PerEndUser) -> Bounds:
    return f"{path}.end_user", each.limits, each.budgets


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
