"""All that can be asked of the admin API."""

import msgspec

from trunkline_gateway.admin.audit import audit_routes
from trunkline_gateway.admin.bound_routes import bound_routes
from trunkline_gateway.admin.keys import key_routes
from trunkline_gateway.admin.objects import object_routes
from trunkline_gateway.admin.operations import Route
from trunkline_gateway.admin.spending import Spending, Till
from trunkline_gateway.admin.usage import Reports, usage_routes
from trunkline_gateway.admin.whoami import whoami_routes
from trunkline_gateway.directory.registry import Registry
from trunkline_kit.clock import Clock


class AdminParts(msgspec.Struct, frozen=True, kw_only=True):
    """What the admin API works with."""

    registry: Registry
    spending: Spending
    reports: Reports
    clock: Clock


def admin_routes(parts: AdminParts) -> tuple[Route, ...]:
    """The whole table."""
    return (
        *whoami_routes(),
        *object_routes(parts.registry),
        *key_routes(parts.registry),
        *bound_routes(parts.registry, Till(parts.registry, parts.spending, parts.clock)),
        *audit_routes(parts.registry),
        *usage_routes(parts.reports),
    )
