"""Bodies of the admin API: bounded, strict, and wrong ones told by their field."""

import json
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from litestar.types import Receive

from trunkline_gateway.admin.faults import fault_of
from trunkline_gateway.admin.merge_patch import Json, merged
from trunkline_gateway.directory.objects import Spec
from trunkline_gateway.edge import Visit
from trunkline_gateway.reply import read_body
from trunkline_kit.errors import InvalidRequest, MediaTypeNotSupported

BODY_BYTES_MAX = 1024 * 1024
_NAME_CHARS_SHOWN = 64
MEDIA = ("application/json", "application/merge-patch+json")

T = TypeVar("T")


async def body_of(visit: Visit, receive: Receive) -> bytes:
    """The whole body. Raises BodyTooLarge, InvalidRequest, MediaTypeNotSupported."""
    kind = visit.text(b"content-type").partition(";")[0].strip().lower()
    if kind and kind not in MEDIA:
        raise MediaTypeNotSupported(f"the body must be JSON: send content-type: {MEDIA[0]}")
    if visit.text(b"content-encoding") not in {"", "identity"}:
        raise MediaTypeNotSupported("compressed bodies are not supported: send it without content-encoding")
    return await read_body(visit, receive, BODY_BYTES_MAX)


def decoded(body: bytes, kind: type[T]) -> T:
    """The body as what it must be. Raises InvalidRequest with the field as `param`."""
    _check_json(body)
    return _decoded(body, kind)


def patched(spec: Spec, body: bytes) -> Spec:
    """The spec as a merge patch wants it; what the patch takes away is as if it had been left out.

    Raises InvalidRequest with the field as `param`.
    """
    _check_json(body)
    patch: Json = msgspec.json.decode(body)
    if not isinstance(patch, dict):
        raise InvalidRequest("a merge patch must be a JSON object: the fields to change, null to take one away")
    try:
        wanted = msgspec.json.encode(merged(msgspec.to_builtins(spec), patch))
    except (RecursionError, ValueError, OverflowError) as error:
        raise InvalidRequest("the body is nested too deeply, or has numbers that are too large") from error
    return _decoded(wanted, type(spec))


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise fault_of(str(error), kind) from error


def _check_json(body: bytes) -> None:
    """Raises InvalidRequest for what is no JSON, and for a member that is there twice: nobody knows which is meant."""
    if not body.strip():
        raise InvalidRequest("the body is empty; send a JSON object")
    try:
        # Ours is strict where the standard library's is not, and the other way round.
        msgspec.json.decode(body)
        json.loads(body, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {str(error).partition(' - at ')[0]}") from error


def _once(members: Sequence[tuple[str, object]]) -> None:
    names: set[str] = set()
    for name, _ in members:
        if name in names:
            shown = name[:_NAME_CHARS_SHOWN]
            raise InvalidRequest(f"the body has {shown!r} twice in one object; give it once", param=shown)
        names.add(name)
