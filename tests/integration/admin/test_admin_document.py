"""The document tells the truth about the admin API, whatever is sent: schemathesis against a real gateway."""

import asyncio

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from trunkline_gateway.admin.routes import AdminParts, admin_routes
from trunkline_kit.clock import SystemClock
from trunkline_kit.lifecycle import run

WRITER = {"authorization": "Bearer tl-writer"}


async def test_every_operation_is_in_the_document_and_nothing_else(admin):
    document = await (await admin.http.get(f"{admin.url}/openapi.json")).json()
    parts = AdminParts(registry=None, spending=None, reports=None, clock=SystemClock())
    known = {("/admin/v1" + one.operation.path, one.operation.method.lower()) for one in admin_routes(parts)}
    told = {(path, method) for path, item in document["paths"].items() if path.startswith("/admin") for method in item}
    assert told == known
    for path, method in told:
        operation = document["paths"][path][method]
        assert operation["security"] == [{"key": []}]
        assert operation["tags"][0].startswith("admin: ")
        assert {"400", "401", "403", "503"} <= set(operation["responses"])
    for name in document["components"]["schemas"]:
        assert "." not in name, "names of modules are nobody's business"


KNOWN = {
    "orgs": {"id": "org-1"},
    "teams": {"id": "team-1", "org": "org-1", "limits": [{"concurrent": 1}]},
    "projects": {"id": "project-1", "team": "team-1"},
    "keys": {"id": "key-1", "team": "team-1"},
    "tags": {"id": "tag-1"},
    "models": {"id": "fake"},
    "prices": {"id": "price-1", "provider": "up", "input_usd": 1},
}


@pytest.mark.timeout(300)
def test_the_admin_api_is_as_its_document_says(open_admin):
    """Valid and invalid requests to every operation: no 5xx, and every answer is as the document says."""

    async def scenario():
        async with open_admin() as admin:
            for plural, new in KNOWN.items():
                await admin.done("POST", f"/{plural}", new)
            return await asyncio.to_thread(fuzz, admin.url)

    statuses = run(scenario)
    assert {200, 201, 204, 400, 404, 409} <= statuses, "what was sent did not get far"
    assert not [status for status in statuses if status >= 500]


def fuzz(url):
    """All statuses that were seen."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json").include(path_regex="^/admin/")
    seen, checked = set(), 0
    for found in schema.get_all_operations():
        operation = found.ok()
        checked += 1

        @settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(), known=st.booleans())
        def check(case, known):
            if known and "id" in case.path_parameters and not is_end_of(case.operation):
                case.path_parameters["id"] = KNOWN[case.operation.path.split("/")[3]]["id"]
            # A schema cannot say everything: that a team is there, say. Who is let in is tested elsewhere.
            reply = case.call_and_validate(headers=WRITER, excluded_checks=[positive_data_acceptance, ignored_auth])
            seen.add(reply.status_code)

        check()
    assert checked > 60
    return seen


def is_end_of(operation):
    """Whether it takes away what later operations need."""
    return operation.method.upper() == "DELETE" and operation.path.endswith("{id}")
