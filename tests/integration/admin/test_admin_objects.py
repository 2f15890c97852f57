"""Objects through the admin API: made, read, listed, changed, deleted, and who is told what went wrong."""

import asyncio
import io
from urllib.parse import quote

import pytest

SECRET_CHARS = 46


async def all_of(admin, path, **query):
    """Every entry of a list, page after page."""
    found, after = [], ""
    while True:
        pairs = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in {**query, "after": after}.items())
        page = await admin.done("GET", f"{path}?{pairs}")
        found += page["data"]
        if page["next"] is None:
            return found
        after = page["next"]


NEW = {
    "orgs": {"id": "acme2", "budgets": [{"amount_usd": 100, "period": "month"}]},
    "teams": {"id": "search", "org": "acme", "weight": 2.5},
    "projects": {"id": "ranking", "team": "filed"},
    "keys": {"id": "k-1", "team": "filed", "tags": ["a"], "networks": ["127.0.0.0/8"]},
    "tags": {"id": "batch/night", "limits": [{"concurrent": 2}]},
    "models": {"id": "fake", "limits": [{"tokens": 1000, "per_s": 1}]},
    "prices": {"id": "p-1", "provider": "up", "model": "x", "input_usd": 2.5, "team": "filed"},
}


@pytest.mark.parametrize("plural", NEW)
async def test_from_made_to_gone(admin, plural):
    new = NEW[plural]
    path = f"/{plural}/{quote(new['id'], safe='')}"
    reply = await admin.ask("POST", f"/{plural}", new)
    made = await reply.json()
    assert reply.status == 201, made
    assert reply.headers["location"] == f"/admin/v1{path}"
    assert reply.headers["etag"] == f'"{made["version"]}"'
    assert made["object"] == plural[:-1]
    assert made["declared"] is False
    assert made["created_at"] == made["updated_at"]
    assert {name: made[name] for name in new if name not in {"budgets", "limits"}} == {
        name: value for name, value in new.items() if name not in {"budgets", "limits"}
    }
    made.pop("secret", None)
    assert await admin.done("GET", path, role="reader") == made
    assert made in await all_of(admin, f"/{plural}", limit=1)
    assert await admin.refused("POST", f"/{plural}", new) == (409, "conflict", None)
    reply = await admin.ask("DELETE", path, if_match='"999"')
    assert reply.status == 412
    assert (await admin.ask("DELETE", path, if_match=f'"{made["version"]}"')).status == 204
    assert await admin.refused("GET", path) == (404, "object_not_found", None)
    assert await admin.refused("DELETE", path) == (404, "object_not_found", None)
    remade = await admin.done("POST", f"/{plural}", new)
    assert remade["version"] > made["version"], "an old ETag never fits what came later"


async def test_a_patch_changes_what_it_names_and_nulls_go_back_to_defaults(admin):
    made = await admin.done("POST", "/teams", {"id": "t", "weight": 3, "limits": [{"concurrent": 5}]})
    reply = await admin.ask("PATCH", "/teams/t", {"org": "acme", "limits": None}, content_type="application/json")
    changed = await reply.json()
    assert (changed["org"], changed["limits"], changed["weight"]) == ("acme", [], 3)
    assert changed["version"] > made["version"]
    assert reply.headers["etag"] == f'"{changed["version"]}"'
    merged = await admin.done("PATCH", "/teams/t", {"end_user": {"limits": [{"concurrent": 1}]}})
    more = await admin.done("PATCH", "/teams/t", {"end_user": {"budgets": [{"amount_usd": 1, "period": "day"}]}})
    assert merged["end_user"]["budgets"] == []
    assert len(more["end_user"]["limits"]) == len(more["end_user"]["budgets"]) == 1
    assert (await admin.done("PATCH", "/teams/t", {}))["version"] == more["version"], "nothing changed"


async def test_a_change_is_only_made_to_what_its_maker_saw(admin):
    made = await admin.done("POST", "/tags", {"id": "t"})
    tag = f'"{made["version"]}"'
    body = {"limits": [{"concurrent": 1}]}
    assert (await admin.ask("PATCH", "/tags/t", body, if_match=tag)).status == 200
    assert await admin.refused("PATCH", "/tags/t", body, if_match=tag) == (412, "version_mismatch", "if-match")
    assert await admin.refused("PATCH", "/tags/t", body, if_match="W/" + tag) == (412, "version_mismatch", "if-match")
    assert await admin.refused("PATCH", "/tags/t", body, if_match="what") == (400, "invalid_request", "if-match")
    assert (await admin.ask("PATCH", "/tags/t", body, if_match="*")).status == 200


async def test_changes_at_the_same_time_are_all_kept(admin):
    await admin.done("POST", "/teams", {"id": "busy"})
    async with asyncio.TaskGroup() as group:
        for measure, limit in (("requests", 5), ("tokens", 6)):
            group.create_task(admin.done("PUT", f"/teams/busy/limits/{measure}", {measure: limit, "per_s": 1}))
        group.create_task(admin.done("PUT", "/teams/busy/limits/concurrent", {"concurrent": 7}))
        group.create_task(admin.done("PUT", "/teams/busy/budgets/day", {"amount_usd": 8}))
    busy = await admin.done("GET", "/teams/busy")
    assert len(busy["limits"]) == 3
    assert len(busy["budgets"]) == 1


WRONG_BODIES = [
    ("/teams", {}, "id"),
    ("/teams", {"id": ""}, "id"),
    ("/teams", {"id": "-x"}, "id"),
    ("/teams", {"id": "a b"}, "id"),
    ("/teams", {"id": "a" * 129}, "id"),
    ("/teams", {"id": "x", "weight": 0}, "weight"),
    ("/teams", {"id": "x", "limits": [{"requests": 5}]}, "limits[0]"),
    ("/teams", {"id": "x", "budgets": [{"amount_usd": 1, "period": "year"}]}, "budgets[0].period"),
    ("/teams", {"id": "x", "budgets": [{"amount_usd": 1, "period": "day", "time_zone": "No/Where"}]}, None),
    ("/keys", {"scopes": ["root"]}, "scopes[0]"),
    ("/keys", {"team": "nobody's"}, "team"),
    ("/keys", {"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ("/keys", {"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
    ("/keys", {"networks": ["999.1.1.1"]}, None),
    ("/keys", {"secret": "tl-mine"}, None),
    ("/prices", {"provider": "nobody"}, "provider"),
    ("/models", {"id": "no-such-model"}, "id"),
    ("/teams", [], None),
]


async def test_a_wrong_body_is_refused_with_its_field(admin):
    for path, body, param in WRONG_BODIES:
        status, code, told = await admin.refused("POST", path, body)
        assert (status, code) == (400, "invalid_request"), body
        assert param is None or told == param, body


async def test_limits_of_the_default_org_and_team_need_nobody_to_make_them_first(admin):
    for plural in ("orgs", "teams"):
        assert (await admin.done("GET", f"/{plural}/default"))["version"] == 0
        await admin.done("PUT", f"/{plural}/default/budgets/day", {"amount_usd": 5})
        made = await admin.done("PUT", f"/{plural}/default/limits/concurrent", {"concurrent": 3})
        assert (made["declared"], len(made["budgets"]), len(made["limits"])) == (False, 1, 1)
        await admin.done("DELETE", f"/{plural}/default")
        assert (await admin.done("GET", f"/{plural}/default"))["limits"] == []
        assert (await admin.refused("DELETE", f"/{plural}/default"))[:2] == (409, "conflict")
    changed = await admin.done("PATCH", "/teams/default", {"weight": 2})
    assert changed["weight"] == 2


JSON = {"content-type": "application/json"}
NO_BODIES = [
    ({"data": b"{", "headers": JSON}, 400),
    ({"data": b"[" * 100_000, "headers": JSON}, 400),
    ({"data": b'{"a":' * 900 + b"1" + b"}" * 900, "headers": JSON}, 400),
    ({"data": b'{"weight":1e999}', "headers": JSON}, 400),
    ({"data": b'{"weight":' + b"9" * 5000 + b"}", "headers": JSON}, 400),
    ({"data": io.BytesIO(b" " * (1024 * 1024 + 1)), "headers": JSON}, 413),
    ({"data": b"a=b", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 415),
    ({"data": b"{}", "headers": {**JSON, "content-encoding": "gzip"}}, 415),
]


async def test_bodies_that_are_none(admin):
    await admin.done("POST", "/teams", {"id": "t"})
    for options, status in NO_BODIES:
        headers = {"authorization": "Bearer tl-writer", **options["headers"]}
        reply = await admin.raw("PATCH", "/teams/t", data=options["data"], headers=headers)
        assert reply.status == status, await reply.text()


async def test_merge_patch_has_its_own_media_type(admin):
    await admin.done("POST", "/teams", {"id": "t"})
    headers = {"authorization": "Bearer tl-writer", "content-type": "application/merge-patch+json; charset=utf-8"}
    reply = await admin.raw("PATCH", "/teams/t", data=b'{"weight":9}', headers=headers)
    assert (await reply.json())["weight"] == 9


async def test_what_the_file_declares_is_shown_and_read_only(admin):
    filed = await admin.done("GET", "/teams/filed")
    assert (filed["declared"], filed["version"]) == (True, 0)
    for method, path, body in [
        ("PATCH", "/teams/filed", {"weight": 2}),
        ("DELETE", "/teams/filed", None),
        ("POST", "/teams", {"id": "filed"}),
        ("PUT", "/teams/filed/budgets/day", {"amount_usd": 1}),
        ("DELETE", "/keys/reader", None),
        ("POST", "/keys/reader/rotate", None),
        ("POST", "/keys/reader/disable", None),
    ]:
        assert await admin.refused(method, path, body) == (409, "conflict", None), (method, path)


async def test_what_others_need_stays(admin):
    await admin.done("POST", "/teams", {"id": "needed"})
    await admin.done("POST", "/keys", {"id": "k", "team": "needed"})
    reply = await admin.ask("DELETE", "/teams/needed")
    assert reply.status == 409
    assert "key 'k'" in await reply.text()


async def test_pages_put_together_are_the_whole_list(admin):
    for number in range(7):
        await admin.done("POST", "/tags", {"id": f"tag-{number}"})
    whole = await admin.done("GET", "/tags")
    assert [tag["id"] for tag in whole["data"]] == [f"tag-{number}" for number in range(7)]
    for limit in (1, 2, 3, 7):
        assert await all_of(admin, "/tags", limit=limit) == whole["data"]
    assert [tag["id"] for tag in await all_of(admin, "/tags", prefix="tag-3")] == ["tag-3"]


async def test_lists_are_filtered(admin):
    await admin.done("POST", "/teams", {"id": "mine", "org": "acme"})
    await admin.done("POST", "/projects", {"id": "p", "team": "mine"})
    await admin.done("POST", "/keys", {"id": "a", "team": "mine", "project": "p", "disabled": True})
    await admin.done("POST", "/keys", {"id": "b", "team": "mine", "priority": "batch"})
    await admin.done("POST", "/prices", {"provider": "up", "team": "mine", "input_usd": 1})

    async def ids(path):
        return [entry["id"] for entry in (await admin.done("GET", path))["data"]]

    assert await ids("/keys?team=mine") == ["a", "b"]
    assert await ids("/keys?team=mine&disabled=true") == ["a"]
    assert await ids("/keys?org=acme&disabled=false") == ["b"]
    assert await ids("/keys?project=p") == ["a"]
    assert await ids("/keys?priority=batch") == ["b"]
    assert await ids("/teams?org=acme") == ["filed", "mine"]
    assert await ids("/projects?team=mine") == ["p"]
    assert len(await ids("/prices?team=mine")) == 1


WRONG_QUERIES = [
    ("limit=0", "limit"),
    ("limit=501", "limit"),
    ("limit=x", "limit"),
    ("limit=1&limit=2", "limit"),
    ("nothing=1", "nothing"),
    ("disabled=maybe", "disabled"),
    ("prefix=" + "x" * 200, "prefix"),
    ("priority=none", "priority"),
]


async def test_a_wrong_parameter_is_refused_by_name(admin):
    for query, param in WRONG_QUERIES:
        assert await admin.refused("GET", f"/keys?{query}") == (400, "invalid_request", param)
    for query in ("prefix=%ff", "a=" + "&a=" * 200, "prefix=%00", "after=%00", "team=%00"):
        assert (await admin.ask("GET", f"/keys?{query}")).status in {200, 400}, query


HOSTILE = ["' OR 1=1 --", "%00", "a%2Fb%2F..%2Fc", "\u0000", "x" * 300, "%ff%fe", "..", "a;b", "{}", "😀"]


async def test_hostile_ids_are_just_not_there(admin):
    for object_id in HOSTILE:
        path = quote(object_id, safe="%")
        for method, body in (("GET", None), ("DELETE", None), ("PATCH", {})):
            reply = await admin.ask(method, f"/teams/{path}", body)
            assert reply.status in {404, 405}, await reply.text()


async def test_paths_and_methods_that_are_not_there(admin):
    assert await admin.refused("GET", "/nothing") == (404, "not_found", None)
    assert await admin.refused("GET", "/teams/") == (404, "not_found", None)
    assert await admin.refused("GET", "/teams/a/b") == (404, "not_found", None)
    reply = await admin.ask("PUT", "/teams")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, POST")
    assert (await admin.ask("POST", "/keys/x/rotate", role=None)).status == 401


async def test_without_a_database_what_the_file_says_is_shown(open_admin):
    async with open_admin(stores={}) as admin:
        assert [team["id"] for team in (await admin.done("GET", "/teams"))["data"]] == ["default", "filed"]
        assert await admin.refused("POST", "/teams", {"id": "x"}) == (503, "store_unavailable", None)
        assert await admin.refused("GET", "/audit") == (503, "store_unavailable", None)
        assert await admin.refused("GET", "/usage") == (503, "store_unavailable", None)
