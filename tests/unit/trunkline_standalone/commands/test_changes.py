from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from trunkline_kit.errors import InvalidRequest
from trunkline_standalone.commands.changes import changes_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def sent(**given):
    return msgspec.json.decode(msgspec.json.encode(changes_of(given, NOW)))


def test_only_what_was_given_is_sent():
    assert sent(id=None, team=None, models=None, expires_at=None) == {}
    assert sent(id="k", team="t", models=["a", "b"], weight=2.0) == {
        "id": "k",
        "team": "t",
        "models": ["a", "b"],
        "weight": 2.0,
    }


def test_an_empty_text_takes_a_field_back():
    assert sent(project="", policy="") == {"project": None, "policy": None}
    assert sent(tags=[""], limits=[""]) == {"tags": [], "limits": []}
    assert sent(expires_at="never") == {"expires_at": None}


@pytest.mark.parametrize("given", [{"id": ""}, {"models": [""]}, {"models": []}, {"scopes": ["", ""]}], ids=str)
def test_some_things_cannot_be_empty(given):
    with pytest.raises(InvalidRequest, match="cannot be empty"):
        changes_of(given, NOW)


def test_limits_budgets_and_moments_are_read():
    found = sent(limits=["concurrent:3"], budgets=["5/day"], expires_at="2d")
    assert found["limits"][0]["concurrent"] == 3
    assert found["budgets"] == [{"amount_usd": 5, "period": "day", "time_zone": "UTC"}]
    assert datetime.fromisoformat(found["expires_at"]) == NOW + timedelta(days=2)
    for wrong in ({"limits": ["x"]}, {"budgets": ["x"]}, {"expires_at": "x"}):
        with pytest.raises(InvalidRequest):
            changes_of(wrong, NOW)
