"""What a well-formed configuration can still get wrong: names that lead nowhere, rules that can never match."""

import fnmatch
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import Enum
from urllib.parse import urlsplit

from msgspec import Struct

from trunkline_kit.errors import ConfigError
from trunkline_kit.oidc_check import oidc_errors, oidc_warnings
from trunkline_kit.profiles import BUILT_IN, unknown_names
from trunkline_kit.providers import account_problems
from trunkline_kit.secrets import is_reference
from trunkline_kit.settings import Key, Model, Route, Settings, When
from trunkline_kit.tenant_check import tenant_problems
from trunkline_kit.tenants import Limit, Org, PerEndUser, Project, Tag, Team

Bounded = Org | Team | Project | Tag | Key | Model | PerEndUser


class Level(Enum):
    """How bad a finding is."""

    ERROR = "error"
    """Refused at start."""
    WARNING = "warning"
    """Served, but hardly what was meant."""


class Finding(Struct, frozen=True):
    """One thing to mend."""

    level: Level
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def check(settings: Settings) -> list[Finding]:
    """Everything that can be said about `settings` without opening anything; errors first."""
    checks = (_models, _providers, _routes, _keys, _tenants, _doubles, _oidc, _stores, _reachable)
    found = [finding for part in checks for finding in part(settings)]
    return sorted(found, key=lambda finding: finding.level is Level.WARNING)


def require_valid(settings: Settings) -> None:
    """Raise ConfigError with every error `check` finds, one a line."""
    errors = [str(finding) for finding in check(settings) if finding.level is Level.ERROR]
    if errors:
        raise ConfigError("\n".join(errors))


def _error(path: str, message: str) -> Finding:
    return Finding(Level.ERROR, path, message)


def _warning(path: str, message: str) -> Finding:
    return Finding(Level.WARNING, path, message)


def _models(settings: Settings) -> Iterator[Finding]:
    taken = Counter([*settings.models, *settings.routes])
    for name, model in settings.models.items():
        path = f"models.{name}"
        taken.update(model.aliases)
        yield from _deployments(path, model, settings)
        fallbacks = model.fallbacks
        for kind in ("on_error", "on_context_window", "on_content_policy"):
            for other in getattr(fallbacks, kind):
                if other not in settings.models:
                    yield _error(f"{path}.fallbacks.{kind}", f"no model `{other}`")
                elif other == name:
                    yield _warning(f"{path}.fallbacks.{kind}", "falls back to itself; that is a retry")
    for name, count in taken.items():
        if count > 1:
            yield _error(f"models.{name}", f"`{name}` is the name or alias of {count} models or routes")


def _deployments(path: str, model: Model, settings: Settings) -> Iterator[Finding]:
    for index, deployment in enumerate(model.deployments):
        if deployment.provider not in settings.providers:
            yield _error(f"{path}.deployments[{index}].provider", f"no provider `{deployment.provider}`")
        for unknown in unknown_names(deployment.profile):
            text = f"no built-in profile `{unknown}`; there are {', '.join(sorted(BUILT_IN))}"
            yield _error(f"{path}.deployments[{index}].profile", text)
    if all(deployment.canary for deployment in model.deployments):
        yield _warning(f"{path}.deployments", "all are canaries: there is nothing to compare them with")


def _providers(settings: Settings) -> Iterator[Finding]:
    for name, provider in settings.providers.items():
        for message in account_problems(provider):
            yield _error(f"providers.{name}", message)


def _routes(settings: Settings) -> Iterator[Finding]:
    for name, route in settings.routes.items():
        path = f"routes.{name}"
        targets = [(f"{path}.otherwise", route.otherwise)]
        targets += [(f"{path}.rules[{index}].to", rule.to) for index, rule in enumerate(route.rules)]
        for where, models in targets:
            for model in models:
                if model not in settings.models:
                    yield _error(where, f"no model `{model}`")
        yield from _dead_rules(path, route)


def _dead_rules(path: str, route: Route) -> Iterator[Finding]:
    for index, rule in enumerate(route.rules):
        where = f"{path}.rules[{index}].when"
        low, high = rule.when.complexity_above, rule.when.complexity_below
        if low is not None and high is not None and low >= high:
            yield _error(where, f"no complexity is above {low} and below {high}; the rule can never match")
        if rule.when.intent == ():
            yield _error(where, "an empty list of intents can never match; leave `intent` out for any")
        for earlier in range(index):
            if _covers(route.rules[earlier].when, rule.when):
                yield _error(where, f"can never match: rules[{earlier}] already takes everything it would")
                break


def _covers(earlier: When, later: When) -> bool:
    """Whether whatever fits `later` fits `earlier` too."""
    if earlier.intent is not None and (later.intent is None or not set(later.intent) <= set(earlier.intent)):
        return False
    if earlier.complexity_below is not None and (
        later.complexity_below is None or later.complexity_below > earlier.complexity_below
    ):
        return False
    return earlier.complexity_above is None or (
        later.complexity_above is not None and later.complexity_above >= earlier.complexity_above
    )


def _keys(settings: Settings) -> Iterator[Finding]:
    names = [*settings.models, *settings.routes, *(a for model in settings.models.values() for a in model.aliases)]
    for name, count in Counter(key.id for key in settings.keys).items():
        if count > 1:
            yield _error("keys", f"id `{name}` is used by {count} keys")
    for index, key in enumerate(settings.keys):
        path = f"keys[{index}]"
        if key.team != "default" and key.team not in settings.teams:
            yield _error(f"{path}.team", f"no team `{key.team}`")
        if key.policy is not None and key.policy not in settings.policies:
            yield _error(f"{path}.policy", f"no policy `{key.policy}`")
        for pattern in key.models:
            if not fnmatch.filter(names, pattern):
                yield _warning(f"{path}.models", f"`{pattern}` fits no model or route")


def _tenants(settings: Settings) -> Iterator[Finding]:
    for path, message in tenant_problems(settings):
        yield _error(path, message)


def _doubles(settings: Settings) -> Iterator[Finding]:
    """Of limits of one measure and window only the tightest holds; two budgets of one period are hardly meant."""
    for path, bounds in _bounded(settings):
        windows = Counter(_measure(limit) for limit in bounds.limits)
        for (measure, per_s), count in windows.items():
            if count > 1:
                window = "" if per_s is None else f" per {per_s:g} s"
                yield _warning(f"{path}.limits", f"{count} limits on {measure}{window}; only the tightest holds")
        for period, count in Counter(budget.period.value for budget in bounds.budgets).items():
            if count > 1:
                yield _warning(f"{path}.budgets", f"{count} budgets of one period, {period}; keep one of them")


def _measure(limit: Limit) -> tuple[str, float | None]:
    names = ("requests", "tokens", "concurrent")
    return next((name for name in names if getattr(limit, name) is not None), "nothing"), limit.per_s


def _bounded(settings: Settings) -> Iterator[tuple[str, Bounded]]:
    """Everybody who has limits of their own, and where."""
    groups: dict[str, Mapping[str, Bounded]] = {
        "orgs": settings.orgs,
        "models": settings.models,
        "teams": settings.teams,
        "projects": settings.projects,
        "tags": settings.tags,
    }
    named = [(f"{place}.{name}", spec) for place, specs in groups.items() for name, spec in specs.items()]
    named += [(f"keys[{index}]", key) for index, key in enumerate(settings.keys)]
    for path, spec in named:
        yield path, spec
        if isinstance(spec, Team | Project | Key):
            yield f"{path}.end_user", spec.end_user


def _oidc(settings: Settings) -> Iterator[Finding]:
    for path, message in oidc_errors(settings):
        yield _error(path, message)
    for path, message in oidc_warnings(settings):
        yield _warning(path, message)


def _stores(settings: Settings) -> Iterator[Finding]:
    for name in ("redis", "database"):
        url = getattr(settings.stores, name)
        if url is not None and not is_reference(url) and urlsplit(url).password:
            yield _error(f"stores.{name}", "holds a password; put the URL behind env:NAME or file:/path")


def _reachable(settings: Settings) -> Iterator[Finding]:
    used = {deployment.provider for model in settings.models.values() for deployment in model.deployments}
    for name in settings.providers:
        if name not in used:
            yield _warning(f"providers.{name}", "no model uses it")
    if not settings.models:
        yield _warning("models", "none: every request will be answered with 404")
