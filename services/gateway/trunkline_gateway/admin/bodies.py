"""Bodies of the admin API: bounded, strict, and wrong ones told by their field."""

from typing import TypeVar

import msgspec
from litestar.types import Receive

from trunkline_gateway.admin.merge_patch import Json, merged
from trunkline_gateway.body import decode
from trunkline_gateway.directory.objects import Spec
from trunkline_gateway.edge import Visit
from trunkline_gateway.reply import read_body
from trunkline_kit.errors import InvalidRequest, MediaTypeNotSupported

BODY_BYTES_MAX = 1024 * 1024
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
    return decode(body, msgspec.json.Decoder(kind))


def patched(spec: Spec, body: bytes) -> Spec:
    """The spec as a merge patch wants it; what the patch takes away is as if it had been left out.

    Raises InvalidRequest with the field as `param`.
    """
    patch: Json = decode(body, msgspec.json.Decoder())
    if not isinstance(patch, dict):
        raise InvalidRequest("a merge patch must be a JSON object: the fields to change, null to take one away")
    try:
        wanted = msgspec.json.encode(merged(msgspec.to_builtins(spec), patch))
    except (RecursionError, ValueError, OverflowError) as error:
        raise InvalidRequest("the body is nested too deeply, or has numbers that are too large") from error
    return decoded(wanted, type(spec))
