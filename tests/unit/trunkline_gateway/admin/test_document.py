import msgspec

from trunkline_gateway.admin.document import document_of
from trunkline_gateway.admin.operations import Operation
from trunkline_gateway.admin.queries import KeysPage, UsagePage
from trunkline_gateway.admin.shapes import Whoami
from trunkline_kit.tenants import Scope, Team


def operation(**more):
    given = {
        "id": "op",
        "method": "GET",
        "path": "/things",
        "scope": Scope.ADMIN_READ,
        "summary": "S.",
        "tag": "things",
    }
    return Operation(**given | more)


def described(**more):
    document = document_of([operation(**more)])
    [item] = document.paths.values()
    [found] = item.values()
    return found, document.schemas


def test_what_every_operation_says():
    found, schemas = described(answer=Whoami)
    assert found["operationId"] == "op"
    assert found["security"] == [{"key": []}]
    assert "admin:read" in found["description"]
    assert found["responses"]["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Whoami"}
    assert set(found["responses"]) == {"200", "400", "401", "403", "503"}
    assert {"Whoami", "OpenAIErrorBody", "OpenAIError"} <= set(schemas)
    assert "requestBody" not in found


def test_parameters_come_from_the_query_and_the_path():
    found, schemas = described(path="/things/{id}/limits/{measure}", query=KeysPage)
    by_name = {parameter["name"]: parameter for parameter in found["parameters"]}
    assert by_name["id"]["in"] == "path"
    assert by_name["measure"]["schema"]["enum"] == ["requests", "tokens", "concurrent"]
    assert by_name["limit"]["schema"]["maximum"] == 500
    assert by_name["disabled"]["schema"] == {"type": "boolean"}, "nothing is null in a URL"
    assert "KeysPage" not in schemas
    assert "Priority" in schemas


def test_a_filter_that_may_be_repeated_is_a_list():
    found, _ = described(query=UsagePage)
    by_name = {parameter["name"]: parameter for parameter in found["parameters"]}
    assert by_name["team"]["schema"]["type"] == "array"


def test_a_patch_has_every_field_and_null():
    found, schemas = described(method="PATCH", body=Team, is_patch=True, versioned=True, answer=Whoami)
    content = found["requestBody"]["content"]
    assert set(content) == {"application/json", "application/merge-patch+json"}
    patch = content["application/json"]["schema"]
    assert patch["additionalProperties"] is False
    assert set(patch["properties"]) == set(Team.__struct_fields__)
    assert {"type": "null"} in patch["properties"]["weight"]["anyOf"]
    assert "required" not in patch
    assert "Team" not in schemas
    assert "if-match" in {parameter["name"] for parameter in found["parameters"]}
    assert "etag" in found["responses"]["200"]["headers"]


def test_an_answer_without_a_body():
    found, _ = described(method="DELETE", status=204, errors=(404, 409))
    assert found["responses"]["204"] == {"description": "Done."}
    assert {"404", "409"} <= set(found["responses"])


def test_it_can_be_written_out():
    document = document_of([operation(answer=Whoami)])
    assert msgspec.json.encode([document.paths, document.schemas])
