"""From bearers to principals."""

import pytest

from trunkline_gateway.oidc.binding import Tenancy, principal_of, team_of
from trunkline_gateway.oidc.claims import Bearer
from trunkline_kit.errors import PermissionDenied
from trunkline_kit.tenants import Priority, Project, Scope, Team

TENANCY = Tenancy(
    teams={"search": Team(org="acme", weight=2.0), "ads": Team()},
    projects={"web": Project(team="search"), "banner": Project(team="ads")},
)


def bearer(*teams, scopes=(Scope.INFERENCE,)):
    return Bearer(provider="corp", subject="ann", teams=teams, scopes=frozenset(scopes), expires_s=100.0)


def test_the_first_team_that_exists_counts(oidc):
    assert team_of(bearer("gone", "search", "ads"), oidc(), TENANCY) == "search"
    assert team_of(bearer("default"), oidc(), TENANCY) == "default"


def test_without_one_the_configured_team_counts(oidc):
    assert team_of(bearer("gone"), oidc(team="ads"), TENANCY) == "ads"
    for settings in (oidc(), oidc(team="gone")):
        with pytest.raises(PermissionDenied, match=r"identity\.oidc\.corp\.teams"):
            team_of(bearer("gone"), settings, TENANCY)


def test_a_principal_has_what_the_settings_give_and_its_team_says(oidc):
    settings = oidc(
        models=("gpt-*",), policy="strict", tags=("sso",), priority=Priority.BATCH, queue_wait_s=3.0, project="web"
    )
    found = principal_of(bearer("search", scopes=(Scope.METRICS,)), settings, TENANCY)
    assert (found.key_id, found.subject, found.actor) == ("corp", "ann", "corp/ann")
    assert (found.team, found.org, found.weight, found.project) == ("search", "acme", 2.0, "web")
    assert (found.models, found.policy, found.tags) == (("gpt-*",), "strict", ("sso",))
    assert (found.scopes, found.priority, found.queue_wait_s) == ({Scope.METRICS}, Priority.BATCH, 3.0)
    assert found.expires_s == 100.0


def test_a_project_of_another_team_is_not_charged(oidc):
    for project in ("banner", "gone", None):
        assert principal_of(bearer("search"), oidc(project=project), TENANCY).project == ""
