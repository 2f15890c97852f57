import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.admin.bound_edits import (
    measure_of,
    with_budget,
    with_limit,
    without_budget,
    without_limit,
)
from trunkline_kit.errors import InvalidRequest, ObjectNotFound
from trunkline_kit.tenants import Budget, Limit, Period, Tag

AMOUNTS = st.integers(1, 5)
WINDOWS = st.sampled_from([1.0, 60.0])
LIMITS = (
    st.builds(Limit, requests=AMOUNTS, per_s=WINDOWS)
    | st.builds(Limit, tokens=AMOUNTS, per_s=WINDOWS)
    | st.builds(Limit, concurrent=AMOUNTS)
)
BUDGETS = st.builds(Budget, amount_usd=st.floats(0, 9), period=st.sampled_from(Period))
SPECS = st.builds(Tag, limits=st.lists(LIMITS, max_size=5).map(tuple), budgets=st.lists(BUDGETS, max_size=4).map(tuple))


def slot(limit):
    return measure_of(limit), limit.per_s


@given(SPECS, LIMITS)
def test_a_limit_is_set_once_and_others_stay_in_order(spec, limit):
    after = with_limit(spec, limit)
    assert [one for one in after.limits if slot(one) == slot(limit)] == [limit]
    assert [one for one in after.limits if slot(one) != slot(limit)] == [
        one for one in spec.limits if slot(one) != slot(limit)
    ]
    assert with_limit(after, limit) == after
    assert after.budgets == spec.budgets


@given(SPECS, LIMITS)
def test_taking_away_what_was_set(spec, limit):
    after = without_limit(with_limit(spec, limit), *slot(limit))
    assert slot(limit) not in [slot(one) for one in after.limits]
    with pytest.raises(ObjectNotFound):
        without_limit(after, *slot(limit)) if limit.per_s is not None else without_limit(after, "concurrent", None)


@given(SPECS, BUDGETS)
def test_budgets_go_by_their_period(spec, budget):
    after = with_budget(spec, budget)
    assert [one for one in after.budgets if one.period is budget.period] == [budget]
    gone = without_budget(after, budget.period)
    assert budget.period not in [one.period for one in gone.budgets]
    assert gone.limits == spec.limits
    with pytest.raises(ObjectNotFound):
        without_budget(gone, budget.period)


def test_all_windows_of_a_measure():
    spec = Tag(limits=(Limit(requests=1, per_s=1), Limit(requests=2, per_s=60), Limit(concurrent=3)))
    assert without_limit(spec, "requests", None).limits == (Limit(concurrent=3),)
    assert without_limit(spec, "requests", 60.0).limits == (Limit(requests=1, per_s=1), Limit(concurrent=3))
    with pytest.raises(ObjectNotFound, match="per 5 s"):
        without_limit(spec, "requests", 5.0)


def test_what_is_no_limit():
    for limit in (Limit(), Limit(requests=1, tokens=1)):
        with pytest.raises(InvalidRequest):
            measure_of(limit)
