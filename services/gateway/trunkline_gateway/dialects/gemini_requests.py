"""The canonical request as the body of Google's generateContent, for the Gemini API and Vertex AI. Pure."""

from typing import Final

import msgspec

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects import gemini_wire as wire
from trunkline_gateway.dialects.abilities import Abilities, field_name, refuse, suited
from trunkline_gateway.dialects.canonical import Dialect, Request, Thinking, ThinkingMode, ToolMode
from trunkline_gateway.dialects.gemini_models import EFFORTS, Profile, profile_of
from trunkline_gateway.dialects.gemini_turns import contents_of
from trunkline_gateway.dialects.openai_chat_requests import EFFORT_BUDGETS_TOKENS
from trunkline_kit.errors import InvalidRequest, Unsupported

DROPPED = frozenset(
    {
        # Anthropic's: who serves it and how fast, never what is answered.
        "service_tier",
        "speed",
        "diagnostics",
        # OpenAI's: about caching, storing, speed, safety reports and the stream's padding.
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "prediction",
        "safety_identifier",
        "stream_options",
        "include",
        "max_tool_calls",
    }
)
"""Of other dialects' fields: what is left out, as no answer depends on it.

Also left out: `metadata`, `store` and who the end user is, which Google has no place for; cache marks, as caching is
implicit; names of speakers and schemas; how closely to look at an image; thoughts that Google did not sign; empty
texts; titles of documents and the wish for citations of them.
"""

BUDGETS_TOKENS: Final = {
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
    "max": 32768,
}
"""Efforts for models that take a number only. Source: Google, "OpenAI compatibility"; the last two are ours."""
_DYNAMIC = -1
"""As much as the model likes."""
_SEED_MAX = 2**31 - 1
_MODES = {ToolMode.AUTO: "AUTO", ToolMode.NONE: "NONE", ToolMode.REQUIRED: "ANY", ToolMode.NAMED: "ANY"}
_encode = msgspec.json.Encoder().encode


def encode_request(request: Request, abilities: Abilities, provider_model: str) -> bytes:
    """The body; the model is in the address. Raises Unsupported or InvalidRequest, with the caller's field."""
    refuse(request, abilities, DROPPED)
    request = suited(request, abilities)
    profile = profile_of(provider_model)
    instructions = [wire.PartOut(text=piece.text) for piece in request.instructions if piece.text]
    settings = _generation(request, profile)
    return _encode(
        wire.Body(
            system_instruction=wire.Content(parts=instructions) if instructions else None,
            contents=contents_of(request, checks_signatures=profile.checks_signatures),
            tools=[wire.Tool(function_declarations=[*map(_function, _functions(request))])] if request.tools else [],
            tool_config=_tool_config(request),
            generation_config=None if settings == wire.GenerationConfig() else settings,
        )
    )


def _generation(request: Request, profile: Profile) -> wire.GenerationConfig:
    sampling, structure = request.sampling, request.structure
    if sampling.seed is not None and not -_SEED_MAX <= sampling.seed <= _SEED_MAX:
        raise InvalidRequest(f"this model's seeds end at {_SEED_MAX}", param="seed")
    return wire.GenerationConfig(
        max_output_tokens=request.output_tokens_max,
        stop_sequences=request.stops,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        seed=sampling.seed,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        candidate_count=request.choices if request.choices > 1 else None,
        response_mime_type="" if structure is None else "application/json",
        response_json_schema=None if structure is None else structure.schema,
        response_logprobs=request.logprobs or bool(request.logprobs_top),
        logprobs=request.logprobs_top,
        thinking_config=_thinking(request, profile),
    )


def _functions(request: Request) -> list[model.Function]:
    return [tool for tool in request.tools if isinstance(tool, model.Function)]


def _function(tool: model.Function) -> wire.FunctionDeclaration:
    return wire.FunctionDeclaration(
        name=tool.name, description=tool.description, parameters_json_schema=tool.parameters
    )


def _tool_config(request: Request) -> wire.ToolConfig | None:
    """Calls that may only be some, or must keep to their schemas, are VALIDATED where AUTO would not promise it."""
    choice = request.tool_choice or model.ToolChoice(mode=ToolMode.AUTO)
    if not request.tools:
        if choice.mode in (ToolMode.REQUIRED, ToolMode.NAMED):
            raise InvalidRequest("tool_choice asks for a tool, but there are no tools", param="tool_choice")
        return None
    names = [choice.name] if choice.mode is ToolMode.NAMED else [*choice.allowed]
    known = {tool.name for tool in _functions(request)}
    if odd := next((name for name in names if name not in known), None):
        raise InvalidRequest(f"tool_choice names {odd!r}, which is none of the tools", param="tool_choice")
    mode = _MODES[choice.mode]
    if choice.mode is ToolMode.AUTO and (names or any(tool.strict for tool in _functions(request))):
        mode = "VALIDATED"
    elif request.tool_choice is None:
        return None
    return wire.ToolConfig(function_calling_config=wire.FunctionCallingConfig(mode=mode, allowed_function_names=names))


def _thinking(request: Request, profile: Profile) -> wire.ThinkingConfig | None:
    """In the way the model takes it: a level, or a number of tokens."""
    asked = request.thinking
    if asked is None or not profile.thinks:
        return None
    shown = _shows(request, asked)
    if asked.mode is ThinkingMode.OFF and asked.budget_tokens is None:
        # A model that cannot be stopped from thinking does the least of it.
        if profile.levels:
            return wire.ThinkingConfig(thinking_level=profile.levels[0].upper())
        return wire.ThinkingConfig(thinking_budget=0 if profile.can_stop_thinking else profile.budget_min)
    if profile.levels:
        effort = asked.effort or _effort_of(asked.budget_tokens)
        return wire.ThinkingConfig(
            include_thoughts=shown, thinking_level=_level(effort, profile.levels) if effort else ""
        )
    budget = asked.budget_tokens
    if budget is None and asked.effort:
        if asked.effort not in BUDGETS_TOKENS:
            name = field_name(request, "thinking")
            raise Unsupported(f"{name} {asked.effort!r} is not known", param=name)
        budget = BUDGETS_TOKENS[asked.effort]
    if budget is not None:
        budget = max(profile.budget_min, min(budget, profile.budget_max))
    elif asked.mode is not None:
        budget = _DYNAMIC
    return wire.ThinkingConfig(include_thoughts=shown, thinking_budget=budget)


def _shows(request: Request, asked: Thinking) -> bool:
    """Whether thoughts are wanted: in Responses by their own field, elsewhere by whoever asks for thinking at all."""
    if asked.mode is ThinkingMode.OFF or asked.summary == "none":
        return False
    return bool(asked.summary) or request.dialect is not Dialect.RESPONSES


def _effort_of(budget_tokens: int | None) -> str:
    if budget_tokens is None:
        return ""
    return next((name for limit, name in EFFORT_BUDGETS_TOKENS if budget_tokens <= limit), "high")


def _level(effort: str, levels: tuple[str, ...]) -> str:
    """The effort itself or the next higher one that the model has; its highest if there is none."""
    least = EFFORTS.index(effort) if effort in EFFORTS else EFFORTS.index("medium")
    return next((level for level in levels if EFFORTS.index(level) >= least), levels[-1]).upper()
