"""One name for all requests that must get the same answer. Pure."""

import hashlib
from collections.abc import Sequence

import msgspec

from trunkline_gateway import body as bodies
from trunkline_gateway.plan import Target
from trunkline_gateway.surface import Surface
from trunkline_kit.errors import InvalidRequest

IRRELEVANT = frozenset(
    {
        "stream",
        "stream_options",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "metadata",
        "store",
        "service_tier",
        "model",
    }
)
"""Say how an answer travels, who asks or what is kept, not what it is. The model is named by who would answer."""

_encoder = msgspec.json.Encoder(order="deterministic")


def fingerprint(surface: Surface, body: bytes, model: str, targets: Sequence[Target]) -> bytes | None:
    """SHA-256, 32 bytes, over everything that changes the answer; None for a body that has no canonical form.

    The order of an object's members and the whitespace between them do not matter, unknown members do: they may mean
    something to the provider. Who would answer is in it, so that another deployment is another name.
    """
    try:
        members = {name: value for name, value in bodies.members_of(body).items() if name not in IRRELEVANT}
        plain = {name: msgspec.json.decode(bytes(value)) for name, value in members.items()}
        answerers = sorted((target.provider, target.provider_model) for target in targets)
        return hashlib.sha256(_encoder.encode([surface.value, model, answerers, plain])).digest()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidRequest):
        return None
