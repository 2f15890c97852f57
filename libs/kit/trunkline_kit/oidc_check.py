"""What is wrong with `identity.oidc`, beside what is wrong with its limits and budgets."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from trunkline_kit.identity import Oidc
from trunkline_kit.settings import Settings

Problem = tuple[str, str]
"""A path inside the file, and what to mend there."""


def oidc_errors(settings: Settings) -> Iterator[Problem]:
    """What keeps it from being served."""
    for name, entry in settings.identity.oidc.items():
        path = f"identity.oidc.{name}"
        for key in settings.keys:
            if is_issuers(key.id, (name,)):
                yield path, f"key `{key.id}` is named like its tokens, and they could not be told apart; rename one"
        if entry.policy is not None and entry.policy not in settings.policies:
            yield f"{path}.policy", f"no policy `{entry.policy}`"
        for field in ("issuer", "jwks_url"):
            url = getattr(entry, field)
            if url is not None and (problem := _problem_of(url)):
                yield f"{path}.{field}", problem


def is_issuers(key_id: str, issuers: Iterable[str]) -> bool:
    """Whether it is one of these names under `identity.oidc`, or the name of one of their subjects (`name/…`)."""
    return any(key_id == name or key_id.startswith(f"{name}/") for name in issuers)


def oidc_warnings(settings: Settings) -> Iterator[Problem]:
    """What is served, but hardly what was meant."""
    has_database = settings.stores.database is not None
    for name, entry in settings.identity.oidc.items():
        path = f"identity.oidc.{name}"
        source = "issuer" if entry.jwks_url is None else "jwks_url"
        if _is_open(getattr(entry, source)):
            yield f"{path}.{source}", "without https whoever is on the way can put keys of their own in; use https"
        if has_database:
            # Teams and projects may be made at run time.
            continue
        for team in _teams(entry):
            if team != "default" and team not in settings.teams:
                yield f"{path}.teams", f"no team `{team}`"
        if entry.project is not None and entry.project not in settings.projects:
            yield f"{path}.project", f"no project `{entry.project}`"


def _teams(entry: Oidc) -> Iterator[str]:
    yield from entry.teams.values()
    if entry.team is not None:
        yield entry.team


def _problem_of(url: str) -> str:
    """Empty where there is none."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return "is no URL"
    if not host:
        return "has no host"
    return "holds a name or password; such an address is no secret here" if "@" in parts.netloc else ""


def _is_open(url: str) -> bool:
    """Whether it is plain HTTP to another machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme != "http" or host == "localhost":
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True
