"""What Claude takes beside its thinking, whoever serves it, and the tokens to ask for where nobody said. Pure.

Sources: Anthropic, "Extended thinking", section "Feature compatibility", and "Models overview" for the longest answers
(read 2026-11-25).
"""

from trunkline_gateway.dialects.abilities import field_name
from trunkline_gateway.dialects.canonical import Request, ToolMode
from trunkline_kit.errors import Unsupported

TOP_P_MIN = 0.95
ANSWER_TOKENS_MAX = 32_000
"""Of Opus 4 and 4.1, the least of all that think for a number of tokens."""


def refuse_beside_thinking(request: Request) -> None:
    """Raises Unsupported for what cannot be had together with thoughts, naming the field."""
    sampling, choice = request.sampling, request.tool_choice
    wrong = {
        "temperature": sampling.temperature not in (None, 1.0),
        "top_p": sampling.top_p is not None and sampling.top_p < TOP_P_MIN,
        "top_k": sampling.top_k is not None,
        "tool_choice": choice is not None and choice.mode in (ToolMode.REQUIRED, ToolMode.NAMED),
    }
    found = next((name for name, is_wrong in wrong.items() if is_wrong), None)
    if found is None:
        return
    values = {"temperature": " other than 1", "top_p": f" below {TOP_P_MIN}", "tool_choice": " that forces a call"}
    thinking = field_name(request, "thinking")
    text = f"{found}{values.get(found, '')} is not supported while this model thinks: leave out {found} or {thinking}"
    raise Unsupported(text, param=found)


def room_for(budget_tokens: int, answer_tokens: int) -> tuple[int, int]:
    """Tokens to think, and of thoughts and answer together, where the caller limits neither.

    At least a quarter is left for the answer.
    """
    limit = max(answer_tokens, min(budget_tokens + answer_tokens, ANSWER_TOKENS_MAX))
    return min(budget_tokens, limit * 3 // 4), limit
