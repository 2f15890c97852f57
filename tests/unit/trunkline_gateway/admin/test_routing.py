from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.admin.operations import Operation, Route
from trunkline_gateway.admin.routing import Table
from trunkline_kit.errors import MethodNotAllowed, RouteNotFound


async def work(_):
    raise AssertionError("not called")


def route(method, path):
    operation = Operation(id=f"{method} {path}", method=method, path=path, scope=None, summary="", tag="")
    return Route(operation, work)


TABLE = Table(
    [
        route("GET", "/keys"),
        route("POST", "/keys"),
        route("GET", "/keys/{id}"),
        route("POST", "/keys/{id}/rotate"),
        route("PUT", "/keys/{id}/limits/{measure}"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "found", "values"),
    [
        ("GET", "/keys", "GET /keys", {}),
        ("GET", "/keys?limit=1", "GET /keys", {}),
        ("GET", "/keys/a", "GET /keys/{id}", {"id": "a"}),
        ("GET", "/keys/a%2Fb", "GET /keys/{id}", {"id": "a/b"}),
        ("POST", "/keys/rotate/rotate", "POST /keys/{id}/rotate", {"id": "rotate"}),
        ("PUT", "/keys/a/limits/b%20c", "PUT /keys/{id}/limits/{measure}", {"id": "a", "measure": "b c"}),
    ],
)
def test_paths_lead_to_operations(method, path, found, values):
    match = TABLE.find(method, f"/admin/v1{path}")
    assert (match.route.operation.id, match.path) == (found, values)


@given(st.text(min_size=1))
def test_every_id_survives_its_way_through_a_path(object_id):
    encoded = quote(object_id, safe="", errors="replace")
    match = TABLE.find("GET", f"/admin/v1/keys/{encoded}")
    assert match.path["id"] == object_id.encode(errors="replace").decode()


@pytest.mark.parametrize(
    "path", ["/admin/v1", "/admin/v1/", "/admin/v1/keys/", "/admin/v1//keys", "/admin/v1/keys/a/b", "/keys", ""]
)
def test_what_is_not_there(path):
    with pytest.raises(RouteNotFound):
        TABLE.find("GET", path)


def test_another_method_is_told_which_there_are():
    with pytest.raises(MethodNotAllowed) as caught:
        TABLE.find("DELETE", "/admin/v1/keys")
    assert caught.value.headers == (("allow", "GET, POST"),)
    with pytest.raises(MethodNotAllowed):
        TABLE.find("GET", "/admin/v1/keys/a/rotate")
