"""What a caller is told of a wrong body or parameter: a field, a rule in words, and no regular expression."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.admin.faults import fault_of
from trunkline_gateway.admin.queries import KeysPage, Page
from trunkline_gateway.admin.shapes import NEWS, Rotation
from trunkline_gateway.directory.objects import ID_PATTERN, Kind

KEY, TEAM = NEWS[Kind.KEY], NEWS[Kind.TEAM]


def fault(body, kind=KEY):
    with pytest.raises(msgspec.ValidationError) as wrong:
        msgspec.json.decode(msgspec.json.encode(body), type=kind)
    return fault_of(str(wrong.value), kind)


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"scope": []}, "scope", "no field 'scope'; did you mean 'scopes'?; there are: team, project, models"),
        ({"end_user": {"limit": 1}}, "end_user.limit", "no field 'limit' in end_user; did you mean 'limits'?"),
        ({"limits": [{"rps": 1}]}, "limits[0].rps", "in limits[0]; there are: requests, tokens, concurrent, per_s"),
        ({"scopes": ["admin"]}, "scopes[0]", "one of inference, admin:read, admin:write, metrics, not 'admin'"),
        ({"priority": "low"}, "priority", "one of interactive, normal, batch, not 'low'"),
        ({"when_store_is_down": "opened"}, "when_store_is_down", "did you mean 'open'?"),
        ({"id": "a b"}, "id", "the first a letter or a digit"),
        ({"tags": ["a b"]}, "tags[0]", "1 to 64 letters, digits"),
        ({"networks": ["here"]}, "networks[0]", "such as 10.0.0.0/8"),
        ({"limits": [{"requests": 0, "per_s": 1}]}, "limits[0].requests", "a whole number of at least 1"),
        (
            {"limits": [{"requests": 2**60, "per_s": 1}]},
            "limits[0].requests",
            "a whole number of at most 9007199254740992",
        ),
        ({"queue_wait_s": 0}, "queue_wait_s", "a number above 0"),
        ({"queue_wait_s": "x"}, "queue_wait_s", "it must be a number, not text"),
        ({"models": "gpt-*"}, "models", "a list, not text"),
        ({"expires_at": "tomorrow"}, "expires_at", "such as 2027-01-31T00:00:00Z"),
        ({"expires_at": "2027-01-31T00:00:00"}, "expires_at", "a time with its offset"),
        ({"team": None}, "team", "text, not null"),
        ({"budgets": [{"period": "day"}]}, "budgets[0].amount_usd", "budgets[0].amount_usd is missing"),
        ([], None, "the body must be an object, not a list; send a JSON object"),
    ],
)
def test_a_fault_is_told_by_its_field(body, param, says):
    found = fault(body)
    assert found.param == param
    assert says in found.message


def test_what_is_left_out_is_named():
    assert (fault({}, TEAM).param, fault({}, TEAM).message) == ("id", "id is missing")


def test_bounds_are_told_in_full():
    assert "a number of at most 31622400" in fault({"overlap_s": 1e9}, Rotation).message


def test_what_is_too_long_is_told_by_its_length():
    with pytest.raises(msgspec.ValidationError) as wrong:
        msgspec.convert({"prefix": "x" * 200}, Page, strict=False)
    assert fault_of(str(wrong.value), Page).message == "wrong value for prefix: it must be at most 128 long"


def test_words_that_are_not_known_are_passed_on():
    assert "must be something else: odd" in fault_of("Odd - at `$.team`", KeysPage).message
    assert "a smaller number" in fault_of("Number out of range - at `$.team`", KeysPage).message


@given(
    st.dictionaries(
        st.sampled_from([*KEY.__struct_fields__, "x`y", "$.z"]), st.text() | st.integers() | st.lists(st.text())
    )
)
def test_no_regular_expression_is_ever_shown(body):
    try:
        msgspec.json.decode(msgspec.json.encode(body), type=KEY)
    except msgspec.ValidationError as error:
        told = fault_of(str(error), KEY)
        assert ID_PATTERN not in told.message
        assert "regex" not in told.message
        assert "`" not in told.message or "`" in str(body)
        assert told.param
