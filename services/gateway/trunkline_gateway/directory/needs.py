"""What an object needs to be there."""

from collections.abc import Iterator

from msgspec import Struct

from trunkline_gateway.directory.objects import Kind, Spec
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.errors import InvalidRequest
from trunkline_kit.tenants import KeySpec, Project, Team

DEFAULT = "default"
"""An org and a team that need not be made."""


class Need(Struct, frozen=True, kw_only=True):
    """One object that must exist."""

    param: str
    """The field that names it."""
    kind: Kind
    id: str
    team: str | None = None
    """Of a project: whose it must be."""

    def missing(self) -> InvalidRequest:
        return InvalidRequest(f"there is no {self.kind.value} {self.id!r}; create it first", param=self.param)

    def check(self, found: Spec) -> None:
        """Raises InvalidRequest for a project of another team."""
        if isinstance(found, Project) and self.team not in {None, found.team}:
            raise InvalidRequest(
                f"project {self.id!r} belongs to team {found.team!r}, the key to {self.team!r}", param=self.param
            )


def needs_of(spec: Spec) -> Iterator[Need]:
    """In the order in which they are named."""
    if isinstance(spec, Team) and spec.org != DEFAULT:
        yield Need(param="org", kind=Kind.ORG, id=spec.org)
    team = spec.team if isinstance(spec, Project | KeySpec | PriceOverride) else None
    if team is not None and team != DEFAULT:
        yield Need(param="team", kind=Kind.TEAM, id=team)
    if isinstance(spec, KeySpec) and spec.project is not None:
        yield Need(param="project", kind=Kind.PROJECT, id=spec.project, team=spec.team)
