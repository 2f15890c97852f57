import pytest

from trunkline_gateway.admin.operations import query_of
from trunkline_gateway.admin.queries import UsagePage
from trunkline_gateway.admin.usage import Reports, asked_of, usage_routes
from trunkline_gateway.ledger.questions import Asked
from trunkline_kit.errors import InvalidRequest, StoreUnavailable


def test_parameters_become_the_ledgers_question():
    pairs = [("by", "team, tag"), ("bucket", "day"), ("team", "a"), ("team", "b"), ("tag", "x"), ("limit", "5")]
    assert asked_of(query_of(pairs, UsagePage)) == Asked(
        by=("team", "tag"), bucket="day", where=(("team", "a"), ("team", "b"), ("tag", "x")), limit=5
    )
    assert asked_of(UsagePage()) == Asked(by=("team", "model"))


async def test_without_a_database_nothing_was_written_down(clock, call_of):
    reports = Reports(None, clock)
    [route] = usage_routes(reports)
    with pytest.raises(StoreUnavailable, match=r"stores\.database"):
        await route.work(call_of(query=UsagePage()))
    with pytest.raises(StoreUnavailable):
        await reports.report(Asked())


async def test_a_wrong_question_is_told_before_anybody_is_asked(clock):
    with pytest.raises(InvalidRequest) as caught:
        await Reports(None, clock).exported(Asked(by=("galaxy",)), "json")
    assert caught.value.param == "by"
