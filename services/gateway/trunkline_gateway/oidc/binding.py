"""From a token's bearer to a principal of this gateway. Pure."""

from collections.abc import Mapping

import msgspec

from trunkline_gateway.auth import Principal
from trunkline_gateway.oidc.claims import Bearer
from trunkline_kit.errors import PermissionDenied
from trunkline_kit.identity import Oidc
from trunkline_kit.tenants import Project, Team

DEFAULT_TEAM = "default"


class Tenancy(msgspec.Struct, frozen=True, kw_only=True):
    """Who exists here, by whichever way they were made."""

    teams: Mapping[str, Team] = {}
    """`default` exists even where it is not among them."""
    projects: Mapping[str, Project] = {}


def team_of(bearer: Bearer, settings: Oidc, tenancy: Tenancy) -> str:
    """The first of its teams that exists, else the configured one. Raises PermissionDenied where there is none."""
    named = bearer.teams if settings.team is None else (*bearer.teams, settings.team)
    for team in named:
        if team in tenancy.teams or team == DEFAULT_TEAM:
            return team
    raise PermissionDenied(
        f"the token is good, but its claim {settings.team_claim!r} leads to no team of this gateway;"
        f" whoever runs it can map it under identity.oidc.{bearer.provider}.teams"
    )


def principal_of(bearer: Bearer, settings: Oidc, tenancy: Tenancy) -> Principal:
    """Of the configured project only where that is one of the bearer's team. Raises PermissionDenied as `team_of`."""
    team = team_of(bearer, settings, tenancy)
    spec = tenancy.teams.get(team, Team())
    project = tenancy.projects.get(settings.project or "")
    return Principal(
        key_id=bearer.provider,
        subject=bearer.subject,
        team=team,
        org=spec.org,
        project=(settings.project or "") if project is not None and project.team == team else "",
        models=settings.models,
        policy=settings.policy,
        scopes=bearer.scopes,
        tags=settings.tags,
        expires_s=bearer.expires_s,
        priority=settings.priority,
        weight=spec.weight,
        queue_wait_s=settings.queue_wait_s,
    )
