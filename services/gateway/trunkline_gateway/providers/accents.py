"""How servers want requests of OpenAI's dialect: where they go, whose they are, what is called otherwise."""

from typing import Protocol

import msgspec
from msgspec import Raw

from trunkline_gateway import body as bodies
from trunkline_gateway.body import Members
from trunkline_gateway.dialects.openai_chat_requests import Quirks
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import Call
from trunkline_gateway.providers.http_account import HeaderPairs
from trunkline_gateway.surface import PATHS, Surface
from trunkline_kit.presets import PRESETS, Preset, PresetName

_OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens")
_NULL = b"null"


class Accent(Protocol):
    """Of one account."""

    def path(self, surface: Surface, target: Target) -> str:
        """Where a request goes, below the account's URL; percent-encoded."""

    async def headers(self) -> HeaderPairs:
        """Credentials that hold for a while, where the session's own do not do. Raises AttemptFailed."""

    def body(self, call: Call, target: Target, *, as_stream: bool = False) -> bodies.Body:
        """What is sent. Raises InvalidRequest."""


class Plain:
    """As OpenAI itself has it: the caller's bytes, but for the model's name."""

    def path(self, surface: Surface, target: Target) -> str:  # noqa: ARG002 - the Protocol's
        return PATHS[surface]

    async def headers(self) -> HeaderPairs:
        return ()

    def body(self, call: Call, target: Target, *, as_stream: bool = False) -> bodies.Body:
        return bodies.rebuilt(
            call.body,
            target.provider_model,
            ask_usage=as_stream and not call.wants_usage,
            ask_stream=as_stream and not call.wants_stream,
        )


class OfPreset(Plain):
    """As a preset says."""

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self._asks_usage = preset.usage_in_streams == "asked"

    def body(self, call: Call, target: Target, *, as_stream: bool = False) -> bodies.Body:
        return bodies.rebuilt(
            call.body,
            target.provider_model,
            ask_usage=self._asks_usage and as_stream and not call.wants_usage,
            ask_stream=as_stream and not call.wants_stream,
            adapt=self._adapt,
        )

    def _adapt(self, members: Members) -> None:
        preset = self._preset
        for name in preset.dropped:
            members.pop(name, None)
        if not self._asks_usage:
            _forget_usage(members)
        if preset.output_limit_field != "either":
            for name in _OUTPUT_LIMITS:
                _rename(members, name, preset.output_limit_field)
        for name, other in preset.renamed:
            _rename(members, name, other)


PLAIN = Plain()


def accent_of(preset: PresetName | None) -> Accent:
    """Plain where nothing has to be written otherwise."""
    if preset is None or not _rewrites(PRESETS[preset]):
        return PLAIN
    return OfPreset(PRESETS[preset])


def _rewrites(preset: Preset) -> bool:
    asks = preset.usage_in_streams == "asked" and preset.output_limit_field == "either"
    return bool(not asks or preset.renamed or preset.dropped)


def quirks_of(preset: PresetName | None) -> Quirks | None:
    """What has to be known where a request is made from another dialect's; None: nothing in particular."""
    if preset is None:
        return None
    known = PRESETS[preset]
    return Quirks(
        output_limit_field="max_tokens" if known.output_limit_field == "max_tokens" else "max_completion_tokens",
        developer_role=known.developer_role,
        cache_marks=known.cache_marks,
        reasoning_field=known.reasoning_field,
        end_user=known.end_user,
    )


def _rename(members: Members, name: str, other: str) -> None:
    """What has the right name already counts."""
    if name == other or name not in members:
        return
    value = members.pop(name)
    if bytes(members.get(other, Raw(_NULL))) == _NULL and bytes(value) != _NULL:
        members[other] = value


def _forget_usage(members: Members) -> None:
    """The rest of `stream_options` is the server's to judge."""
    options = members.get("stream_options")
    if options is None:
        return
    left = {} if bytes(options) == _NULL else bodies.members_of(bytes(options))
    left.pop("include_usage", None)
    if left:
        members["stream_options"] = Raw(msgspec.json.encode(left))
    else:
        del members["stream_options"]
