"""What a target can do, and the refusal of what it cannot: before anything is sent, in the caller's own field names."""

import msgspec

from trunkline_gateway.dialects.canonical import (
    Audio,
    Dialect,
    File,
    Function,
    Image,
    Native,
    NativeTool,
    Part,
    Request,
    Role,
    Sampling,
    Text,
    ToolResult,
)
from trunkline_kit.errors import Unsupported
from trunkline_kit.profiles import Profile

_CHAT, _MESSAGES, _RESPONSES = Dialect.CHAT, Dialect.MESSAGES, Dialect.RESPONSES

_FIELD_NAMES: dict[Dialect, dict[str, str]] = {
    _CHAT: {
        "stops": "stop",
        "output_tokens_max": "max_completion_tokens",
        "choices": "n",
        "structure": "response_format",
        "thinking": "reasoning_effort",
    },
    _MESSAGES: {
        "instructions": "system",
        "stops": "stop_sequences",
        "output_tokens_max": "max_tokens",
        "structure": "output_config.format",
        "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
        "end_user": "metadata.user_id",
        "stream_usage": "stream",
    },
    _RESPONSES: {
        "messages": "input",
        "output_tokens_max": "max_output_tokens",
        "structure": "text.format",
        "thinking": "reasoning",
        "verbosity": "text.verbosity",
        "logprobs": "top_logprobs",
        "continues": "previous_response_id",
    },
}
"""Where a dialect's name for a field is not ours."""


class Abilities(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one target: its protocol's, narrowed to what its model can do."""

    tools: bool = True
    one_tool_at_a_time: bool = True
    """Whether parallel tool calls can be turned off."""
    allowed_tools: bool = False
    """Whether the choice can be narrowed to some of the tools."""
    native: Dialect | None = None
    """Whose native tools, parts and unknown fields it takes as they are."""
    images: bool = True
    image_urls: bool = True
    audio_input: bool = False
    audio_output: bool = False
    files: bool = True
    file_urls: bool = True
    file_text: bool = True
    """Documents that are plain text."""
    file_ids: bool = False
    """Files and images by the id of an upload: only an account's own dialect can mean the same."""
    tool_result_media: bool = True
    """Images and files in the results of tools."""
    midway_instructions: bool = True
    """System messages in the middle of a conversation."""
    json_object: bool = True
    json_schema: bool = True
    thinking: bool = True
    thinking_budget: bool = True
    """Whether it takes a number of tokens, not only an effort."""
    thinking_effort: bool = True
    """Whether it takes an effort, not only a number of tokens."""
    logprobs: bool = False
    choices: bool = False
    """More than one."""
    sampling: bool = True
    """Temperature and top-p; models that reason often take none but 1, which is left out then."""
    seed: bool = False
    penalties: bool = False
    logit_bias: bool = False
    top_k: bool = False
    verbosity: bool = False
    stops: bool = True
    stops_max: int = 16
    temperature_max: float = 2.0
    output_tokens_max: int = 4096
    """What a model is asked for where the protocol needs a number and the caller gave none."""


def narrowed(abilities: Abilities, profile: Profile | None) -> Abilities:
    """A protocol's, as far as a profile leaves them or says otherwise."""
    return abilities if profile is None else msgspec.structs.replace(abilities, **profile.changes)


def field_name(request: Request, name: str) -> str:
    """What the caller calls the canonical field `name`."""
    return _FIELD_NAMES[request.dialect].get(name, name)


def refuse(request: Request, abilities: Abilities, dropped: frozenset[str] = frozenset()) -> None:
    """Raises Unsupported for the first thing that the target cannot do and that would change the answer.

    `dropped` are the names of the caller's fields that this target leaves out because nothing is lost by it.
    """
    if request.continues:
        # Whoever has the stored response puts its items in front and takes this away.
        raise _unsupported(field_name(request, "continues"))
    if request.dialect is abilities.native:
        # Uploads and extensions mean there what the caller means.
        abilities = msgspec.structs.replace(abilities, file_ids=True, top_k=True)
    wanted = (*_wants(request), *_wants_of_sampling(request.sampling), *_wants_of_tools(request))
    for field, ability in wanted:
        if not getattr(abilities, ability):
            raise _unsupported(field_name(request, field))
    _refuse_amounts(request, abilities)
    for index, message in enumerate(request.messages):
        place = message.place or f"{field_name(request, 'messages')}[{index}]"
        if message.role in (Role.SYSTEM, Role.DEVELOPER) and not abilities.midway_instructions:
            raise Unsupported("this model takes instructions only at the beginning", param=f"{place}.role")
        for number, part in enumerate(message.parts):
            _refuse_part(part, abilities, f"{place}.content[{number}]")
    _refuse_foreign(request, abilities.native, dropped)


def _refuse_foreign(request: Request, native: Dialect | None, dropped: frozenset[str]) -> None:
    """Native tools and unknown fields of a dialect that is not the target's."""
    for tool in request.tools:
        if isinstance(tool, NativeTool) and tool.dialect is not native:
            text = f"{tool.place}: tools of type {tool.type!r} are not supported by this model"
            raise Unsupported(text, param=tool.place)
    for extra in request.extras:
        if extra.name not in dropped and request.dialect is not native:
            raise _unsupported(extra.name)


def suited(request: Request, abilities: Abilities) -> Request:
    """The request without what a target may not even be told, though it changes nothing."""
    if abilities.sampling or request.sampling == Sampling():
        return request
    bare = msgspec.structs.replace(request.sampling, temperature=None, top_p=None)
    return msgspec.structs.replace(request, sampling=bare)


def _unsupported(param: str) -> Unsupported:
    return Unsupported(f"{param} is not supported by this model", param=param)


def _wants(request: Request) -> list[tuple[str, str]]:
    """Canonical fields that are set, each with the ability it needs."""
    wanted = []
    if structure := request.structure:
        wanted.append(("structure", "json_object" if structure.schema is None else "json_schema"))
    if request.logprobs or request.logprobs_top:
        wanted.append(("logprobs", "logprobs"))
    if request.choices > 1:
        wanted.append(("choices", "choices"))
    if request.audio is not None:
        wanted.append(("audio", "audio_output"))
    if request.verbosity not in {"", "medium"}:
        wanted.append(("verbosity", "verbosity"))
    if request.stops:
        wanted.append(("stops", "stops"))
    thinking = request.thinking
    if thinking is not None and (thinking.effort not in {"", "none"} or thinking.budget_tokens is not None):
        wanted.append(("thinking", "thinking"))
    return wanted


def _wants_of_sampling(sampling: Sampling) -> list[tuple[str, str]]:
    wanted = []
    if sampling.temperature not in (None, 1.0):
        wanted.append(("temperature", "sampling"))
    if sampling.top_p not in (None, 1.0):
        wanted.append(("top_p", "sampling"))
    if sampling.top_k is not None:
        wanted.append(("top_k", "top_k"))
    if sampling.seed is not None:
        wanted.append(("seed", "seed"))
    if sampling.frequency_penalty:
        wanted.append(("frequency_penalty", "penalties"))
    if sampling.presence_penalty:
        wanted.append(("presence_penalty", "penalties"))
    if sampling.logit_bias is not None and bytes(sampling.logit_bias) != b"{}":
        wanted.append(("logit_bias", "logit_bias"))
    return wanted


def _wants_of_tools(request: Request) -> list[tuple[str, str]]:
    wanted = []
    if any(isinstance(tool, Function) for tool in request.tools):
        wanted.append(("tools", "tools"))
    if request.tool_choice is not None and request.tool_choice.allowed:
        wanted.append(("tool_choice", "allowed_tools"))
    if request.parallel_tool_calls is False and request.tools:
        wanted.append(("parallel_tool_calls", "one_tool_at_a_time"))
    return wanted


def _refuse_amounts(request: Request, abilities: Abilities) -> None:
    if len(request.stops) > abilities.stops_max:
        name = field_name(request, "stops")
        raise Unsupported(f"this model takes at most {abilities.stops_max} stop sequences", param=name)
    temperature = request.sampling.temperature
    if temperature is not None and temperature > abilities.temperature_max:
        raise Unsupported(f"this model's temperature ends at {abilities.temperature_max:g}", param="temperature")


def _refuse_part(part: Part, abilities: Abilities, place: str) -> None:
    match part:
        case Image():
            _need(place, "images", can=abilities.images)
            _need(place, "images by URL", can=abilities.image_urls or not part.url)
            _need(place, "uploaded images", can=abilities.file_ids or not part.file_id)
        case File():
            _need(place, "files", can=abilities.files)
            _need(place, "files by URL", can=abilities.file_urls or not part.url)
            _need(place, "plain text files", can=abilities.file_text or not part.text)
            _need(place, "uploaded files", can=abilities.file_ids or not part.file_id)
        case Audio():
            _need(place, "audio", can=abilities.audio_output if part.id else abilities.audio_input)
        case ToolResult():
            for number, piece in enumerate(part.parts):
                inner = f"{place}.content[{number}]"
                _need(
                    inner,
                    "images and files in tool results",
                    can=abilities.tool_result_media or isinstance(piece, Text),
                )
                _refuse_part(piece, abilities, inner)
        case Native():
            _need(place, f"parts of type {part.type!r}", can=part.dialect is abilities.native)
        case _:
            pass


def _need(place: str, what: str, *, can: bool) -> None:
    if not can:
        raise Unsupported(f"{what} are not supported by this model", param=place)
