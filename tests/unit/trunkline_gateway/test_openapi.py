"""The document as a whole: what generators of clients stumble over."""

from collections import Counter

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # has no stubs here
from prometheus_client import CollectorRegistry

from trunkline_gateway.admin.routes import AdminParts, admin_routes
from trunkline_gateway.http_app import routes_of
from trunkline_gateway.openapi import document

OPEN = ("/", "/livez", "/readyz")


@pytest.fixture(scope="module")
def made():
    parts = AdminParts(registry=None, spending=None, reports=None, clock=None)
    operations = [route.operation for route in admin_routes(parts)]
    return msgspec.json.decode(document(routes_of(None, CollectorRegistry()), operations))


@pytest.fixture(scope="module")
def operations(made):
    return {(path, method): one for path, item in made["paths"].items() for method, one in item.items()}


def test_every_operation_has_a_name_of_its_own(operations):
    counts = Counter(operation["operationId"] for operation in operations.values())
    assert len(counts) > 70
    assert [name for name, count in counts.items() if count > 1] == []


def test_what_needs_a_key_says_so_and_how_a_key_may_be_refused(operations):
    for (path, method), operation in operations.items():
        needed = path not in OPEN
        assert operation["security"] == ([{"key": []}] if needed else []), (path, method)
        assert not needed or {"401", "403", "503"} <= set(operation["responses"]), (path, method)


def test_what_takes_a_body_says_what_is_wrong_with_one(operations):
    for (path, _), operation in operations.items():
        if path.startswith("/admin/") and "requestBody" in operation:
            assert {"400", "413", "415"} <= set(operation["responses"]), path


def test_schemas_are_schemas_and_references_lead_somewhere(made):
    schemas = made["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    for reference in references(made):
        assert reference.removeprefix("#/components/schemas/") in schemas


def references(part):
    if isinstance(part, dict):
        yield from (value for name, value in part.items() if name == "$ref")
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)
