"""The admin API's part of the OpenAPI document, written from the table of operations."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from trunkline_gateway.admin.bodies import MEDIA
from trunkline_gateway.admin.bound_edits import MEASURES
from trunkline_gateway.admin.operations import BASE, Operation
from trunkline_kit.error_shapes import OpenAIErrorBody
from trunkline_kit.tenants import Period

Json = dict[str, Any]
"""A part of the document. It is built and written out, never read."""

COMMON_ERRORS = (400, 401, 403, 503)
"""Of every operation."""
_WORDS = {
    400: "Something in the request is wrong; `param` names it.",
    401: "No key, or one that is not known.",
    403: "A key that lacks the scope, or is used from elsewhere than it may.",
    404: "There is no such object.",
    409: "The id is taken, others still need the object, or the configuration file declares it.",
    412: "Somebody has changed the object since.",
    413: "The body is over the limit.",
    415: "The body is not JSON.",
    503: "The database does not answer; nothing was changed.",
}
_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"{(\w+)}")
_PATH_SCHEMAS: dict[str, Json] = {
    "id": {"type": "string", "minLength": 1, "maxLength": 256},
    "measure": {"type": "string", "enum": list(MEASURES)},
    "period": {"type": "string", "enum": [period.value for period in Period]},
}
_ETAG = {"etag": {"description": "The version, for if-match.", "schema": {"type": "string"}}}


class AdminDocument(msgspec.Struct, frozen=True):
    """What is added to the gateway's document."""

    paths: Json
    schemas: Json


def document_of(operations: Sequence[Operation]) -> AdminDocument:
    """All of them."""
    shown = _kinds([OpenAIErrorBody, *(kind for one in operations for kind in _sent(one))])
    taken_apart = _kinds(kind for one in operations for kind in _taken_apart(one))
    schemas, components = msgspec.json.schema_components(shown, ref_template=_REF)
    known = dict(zip(shown, schemas, strict=True))
    parts, more = msgspec.json.schema_components(taken_apart, ref_template=_REF)
    # Query parameters and patches are written out: only what they refer to has a name in the document.
    wholes = {kind: more.pop(_name(schema)) for kind, schema in zip(taken_apart, parts, strict=True)}
    writer = _Writer(known, wholes)
    paths: Json = {}
    for operation in operations:
        paths.setdefault(f"{BASE}{operation.path}", {})[operation.method.lower()] = writer.operation(operation)
    return AdminDocument(paths, more | components)


def _kinds(found: Iterable[type]) -> list[type]:
    return list(dict.fromkeys(found))


def _sent(operation: Operation) -> Iterator[type]:
    if operation.body is not None and not operation.is_patch:
        yield operation.body
    if operation.answer is not None:
        yield operation.answer


def _taken_apart(operation: Operation) -> Iterator[type]:
    yield operation.query
    if operation.body is not None and operation.is_patch:
        yield operation.body


def _name(schema: Json) -> str:
    name: str = schema["$ref"].rpartition("/")[2]
    return name


class _Writer:
    def __init__(self, known: "Mapping[type, Json]", wholes: "Mapping[type, Json]") -> None:
        self._known = known
        self._wholes = wholes

    def operation(self, operation: Operation) -> Json:
        needs = operation.scope.value if operation.scope is not None else "any"
        found: Json = {
            "operationId": operation.id,
            "summary": operation.summary,
            "description": f"Scope: `{needs}`.",
            "tags": [f"admin: {operation.tag}"],
            "security": [{"key": []}],
            "parameters": self._parameters(operation),
            "responses": self._responses(operation),
        }
        if operation.body is not None:
            found["requestBody"] = {"required": operation.body_required, "content": self._body(operation)}
        return found

    def _parameters(self, operation: Operation) -> list[Json]:
        found: list[Json] = [
            {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS[name]}
            for name in _PARAMETER.findall(operation.path)
        ]
        query = self._wholes[operation.query]
        required = query.get("required", [])
        for name, schema in query.get("properties", {}).items():
            shown = {key: value for key, value in schema.items() if key != "description"}
            parameter: Json = {"name": name, "in": "query", "required": name in required, "schema": _plain(shown)}
            if "description" in schema:
                parameter["description"] = schema["description"]
            found.append(parameter)
        if operation.versioned:
            text = "The ETag that the change was meant for; 412 where the object has changed since."
            schema = {"type": "string", "pattern": '^(\\*|"[0-9]+")$'}
            found.append({"name": "if-match", "in": "header", "required": False, "schema": schema, "description": text})
        return found

    def _body(self, operation: Operation) -> Json:
        assert operation.body is not None  # noqa: S101 - asked for those that have one
        if not operation.is_patch:
            return {MEDIA[0]: {"schema": self._known[operation.body]}}
        spec = self._wholes[operation.body]
        fields = {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in spec["properties"].items()}
        patch = {"type": "object", "properties": fields, "additionalProperties": False}
        return {media: {"schema": patch} for media in MEDIA}

    def _responses(self, operation: Operation) -> Json:
        answer: Json = {"description": "Done."}
        if operation.answer is not None:
            answer["description"] = "The answer."
            answer["content"] = {media: {"schema": self._answer(operation, media)} for media in operation.media}
        if operation.versioned and operation.answer is not None:
            answer["headers"] = _ETAG
        errors = sorted({*COMMON_ERRORS, *operation.errors})
        content = {"application/json": {"schema": self._known[OpenAIErrorBody]}}
        found = {str(status): {"description": _WORDS[status], "content": content} for status in errors}
        return {str(operation.status): answer, **found}

    def _answer(self, operation: Operation, media: str) -> Json:
        assert operation.answer is not None  # noqa: S101 - asked for those that have one
        return self._known[operation.answer] if media.endswith("json") else {"type": "string"}


def _plain(schema: Json) -> Json:
    """A parameter that may be left out cannot be null in a URL."""
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if len(options) != 1:
        return schema
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return {**rest, **options[0]}
