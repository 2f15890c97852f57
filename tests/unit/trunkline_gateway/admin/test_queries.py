import pytest

from trunkline_gateway.admin.operations import query_of
from trunkline_gateway.admin.queries import AuditPage, KeysPage, Page, PricesPage, TeamsPage, UsagePage, objects_of
from trunkline_gateway.directory.objects import Kind, Query
from trunkline_gateway.directory.selection import FILTERS
from trunkline_gateway.ledger.questions import DIMENSIONS
from trunkline_kit.errors import InvalidRequest


def test_filters_become_the_directorys():
    asked = query_of([("team", "t"), ("disabled", "false"), ("limit", "7"), ("after", "a"), ("prefix", "p")], KeysPage)
    assert objects_of(Kind.KEY, asked) == Query(
        kind=Kind.KEY, limit=7, after="a", prefix="p", equal={"team": "t", "disabled": "false"}
    )
    asked = query_of([("priority", "batch"), ("policy", "strict")], KeysPage)
    assert objects_of(Kind.KEY, asked).equal == {"priority": "batch", "policy": "strict"}
    assert objects_of(Kind.ORG, Page()).equal == {}


@pytest.mark.parametrize(
    ("kind", "page", "more"),
    [(Kind.TEAM, TeamsPage, set()), (Kind.KEY, KeysPage, {"org"}), (Kind.PRICE, PricesPage, set())],
)
def test_every_filter_of_the_directory_can_be_asked_for(kind, page, more):
    assert set(page.__struct_fields__) - set(Page.__struct_fields__) == {*FILTERS[kind], *more}


def test_every_dimension_of_usage_can_be_filtered_by():
    assert set(DIMENSIONS) <= set(UsagePage.__struct_fields__)


def test_moments_need_their_offset():
    assert query_of([("since", "2026-01-01T00:00:00Z")], AuditPage).since is not None
    with pytest.raises(InvalidRequest):
        query_of([("since", "2026-01-01T00:00:00")], AuditPage)
