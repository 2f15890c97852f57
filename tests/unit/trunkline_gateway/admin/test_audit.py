from datetime import UTC, datetime

import pytest

from trunkline_gateway.admin.audit import audit_routes, query_of
from trunkline_gateway.admin.queries import AuditPage
from trunkline_gateway.directory.objects import Action, AuditQuery, Kind
from trunkline_kit.errors import StoreUnavailable

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def test_parameters_become_the_directorys_question():
    page = AuditPage(limit=3, after=9, actor="a", action=Action.ROTATE, kind=Kind.KEY, object_id="k", since=DAY)
    assert query_of(page) == AuditQuery(
        limit=3, before=9, actor="a", action=Action.ROTATE, kind=Kind.KEY, object_id="k", since=DAY
    )
    assert query_of(AuditPage()) == AuditQuery()


async def test_without_a_database_there_is_no_log(registry_of, call_of):
    [route] = audit_routes(registry_of({}))
    with pytest.raises(StoreUnavailable):
        await route.work(call_of(query=AuditPage()))
