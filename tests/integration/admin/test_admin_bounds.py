"""Limits and budgets as resources: listed over everybody, set and taken away one by one, with what is left."""

import pytest

from trunkline_kit.errors import StoreUnavailable


async def listed(admin, path, **query):
    found, after = [], ""
    while after is not None:
        more = "&".join(f"{name}={value}" for name, value in {**query, "after": after}.items() if value)
        page = await admin.done("GET", f"{path}?{more}")
        found += page["data"]
        after = page["next"]
    return found


async def test_all_limits_are_listed_whoever_has_them(admin):
    await admin.done("POST", "/orgs", {"id": "o", "limits": [{"concurrent": 9}]})
    end_user = {"limits": [{"requests": 1, "per_s": 1}]}
    await admin.done("POST", "/teams", {"id": "t", "limits": [{"tokens": 5, "per_s": 60}], "end_user": end_user})
    await admin.done("POST", "/keys", {"id": "k", "limits": [{"requests": 2, "per_s": 1}, {"concurrent": 3}]})
    await admin.done("PUT", "/tags/late/limits/concurrent", {"concurrent": 4})
    whole = await listed(admin, "/limits")
    assert [
        (row["level"], row["owner"], row["measure"], row[row["measure"]], row["each_end_user"]) for row in whole
    ] == [
        ("org", "o", "concurrent", 9, False),
        ("team", "filed", "requests", 100, False),
        ("team", "t", "tokens", 5, False),
        ("team", "t", "requests", 1, True),
        ("key", "k", "requests", 2, False),
        ("key", "k", "concurrent", 3, False),
        ("tag", "late", "concurrent", 4, False),
    ]
    assert [row["declared"] for row in whole] == [False, True, False, False, False, False, False]
    for limit in (1, 2, 3, 6, 7):
        assert await listed(admin, "/limits", limit=limit) == whole
    assert await listed(admin, "/limits", level="key", limit=1) == whole[4:6]
    assert await listed(admin, "/limits", level="team", owner="t", limit=1) == whole[2:4]
    assert await listed(admin, "/limits", level="team", owner="nobody") == []


@pytest.mark.parametrize(
    ("query", "param"),
    [("owner=x", "owner"), ("after=nonsense", "after"), ("after=key:x:k", "after"), ("level=galaxy", "level")],
)
async def test_wrong_questions(admin, query, param):
    assert await admin.refused("GET", f"/limits?{query}") == (400, "invalid_request", param)


async def test_one_limit_of_each_measure_and_window(admin):
    await admin.done("POST", "/teams", {"id": "t"})
    path = "/teams/t/limits/requests"
    await admin.done("PUT", path, {"requests": 5, "per_s": 1})
    await admin.done("PUT", path, {"requests": 100, "per_s": 60})
    team = await admin.done("PUT", path, {"requests": 6, "per_s": 1})
    assert [(one["requests"], one["per_s"]) for one in team["limits"]] == [(6, 1), (100, 60)]
    team = await admin.done("DELETE", f"{path}?per_s=60")
    assert [(one["requests"], one["per_s"]) for one in team["limits"]] == [(6, 1)]
    assert (await admin.refused("DELETE", f"{path}?per_s=60"))[:2] == (404, "object_not_found")
    assert (await admin.done("DELETE", path))["limits"] == []
    assert (await admin.refused("DELETE", path))[:2] == (404, "object_not_found")
    for body in ({"tokens": 5, "per_s": 1}, {}, {"requests": 5}, {"requests": 5, "tokens": 5, "per_s": 1}):
        assert (await admin.refused("PUT", path, body))[0] == 400
    assert (await admin.refused("PUT", "/teams/t/limits/money", {"requests": 5, "per_s": 1}))[0] == 404
    assert (await admin.refused("PUT", "/teams/nobody/limits/requests", {"requests": 5, "per_s": 1}))[0] == 404


async def test_budgets_are_set_and_taken_away(admin):
    await admin.done("POST", "/keys", {"id": "k"})
    reply = await admin.ask("PUT", "/keys/k/budgets/month", {"amount_usd": 5, "time_zone": "Europe/Berlin"})
    tag = reply.headers["etag"]
    key = await admin.done("PUT", "/keys/k/budgets/month", {"amount_usd": 6}, if_match=tag)
    assert key["budgets"] == [{"amount_usd": 6, "period": "month", "time_zone": "UTC"}]
    assert (await admin.refused("PUT", "/keys/k/budgets/day", {"amount_usd": 6}, if_match=tag))[0] == 412
    assert (await admin.refused("PUT", "/keys/k/budgets/year", {"amount_usd": 6}))[0] == 404
    assert (await admin.refused("PUT", "/keys/k/budgets/day", {"amount_usd": -1}))[0] == 400
    assert (await admin.done("DELETE", "/keys/k/budgets/month"))["budgets"] == []
    assert (await admin.refused("DELETE", "/keys/k/budgets/month"))[0] == 404


async def test_models_and_tags_need_not_be_made_first(admin):
    model = await admin.done("PUT", "/models/fake/budgets/day", {"amount_usd": 1})
    assert (model["id"], len(model["budgets"])) == ("fake", 1)
    assert (await admin.refused("PUT", "/models/nothing/budgets/day", {"amount_usd": 1}))[0] == 400
    assert (await admin.refused("PUT", "/tags/new/budgets/day", {"amount_usd": 1}, if_match='"3"'))[0] == 404


async def test_budgets_say_what_is_left(admin):
    await admin.done("POST", "/teams", {"id": "t", "budgets": [{"amount_usd": 2.5, "period": "total"}]})
    by_owner = {(row["level"], row["owner"]): row for row in await listed(admin, "/budgets")}
    assert set(by_owner) == {("team", "t"), ("model", "org/fake")}
    team, model = by_owner["team", "t"], by_owner["model", "org/fake"]
    assert (team["state"], team["used_usd"], team["remaining_usd"]) == ("known", 0, 2.5)
    assert (team["org"], team["period_ends_at"]) == ("default", None)
    assert (model["org"], model["declared"]) == ("*", True)
    assert model["period_ends_at"].endswith("T00:00:00Z")


async def test_a_store_that_is_away_leaves_budgets_unknown(admin, monkeypatch):
    async def away(*_):
        raise StoreUnavailable("away")

    monkeypatch.setattr("trunkline_gateway.admission.admission.Admission.spent", away)
    [row] = await listed(admin, "/budgets")
    assert (row["state"], row["used_usd"], row["remaining_usd"]) == ("unknown", None, None)
    assert row["period_ends_at"] is not None
