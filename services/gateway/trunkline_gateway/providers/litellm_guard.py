"""What of a request LiteLLM would fetch from here, and what of its errors a provider really said. Pure."""

import re
from typing import Any, Final

_MEDIA: Final = frozenset({"url", "image_url", "file_url", "video_url", "audio_url"})
"""Members that may be data in place and nothing else."""
_WORDS: Final = frozenset(
    {
        *("text", "content", "arguments", "name", "refusal", "thinking", "reasoning", "reasoning_content"),
        *("title", "signature", "filename"),
    }
)
"""Members that the SDK never fetches, whatever they say."""
_UNREAD: Final = frozenset({"annotations"})
"""Links of an earlier answer, for its reader."""
_LINK: Final = re.compile(r"^[\x00-\x20\s]*https?:|https?://", re.IGNORECASE)
_CHAIN_MAX: Final = 16


def link_in(messages: Any) -> str | None:
    """The name of a member of messages with an address that the SDK may fetch from inside the gateway's network.

    None where there is none. Members of names that are not known are taken for addresses if they look like one.
    """
    waiting: list[tuple[str, Any]] = [("content", messages)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(key, inside) for key, inside in value.items() if key not in _UNREAD]
        elif isinstance(value, list):
            waiting += [(name, inside) for inside in value]
        elif isinstance(value, str) and _is_fetched(name, value):
            return name
    return None


def _is_fetched(name: str, value: str) -> bool:
    if name in _WORDS:
        return False
    if name in _MEDIA and value and not value.startswith("data:"):
        return True
    # Base64 has no colon: what is in place is passed over at the speed of a search for one character.
    return value.count(":") > value.startswith("data:") and _LINK.search(value) is not None


def answered_status(error: BaseException) -> int | None:
    """The HTTP status that the provider sent, of the error behind the SDK's own; None where it does not tell."""
    found: int | None = None
    before = error.__cause__ or error.__context__
    for _ in range(_CHAIN_MAX):
        if before is None:
            break
        status = getattr(getattr(before, "response", None), "status_code", None) or getattr(before, "status_code", None)
        found = status if isinstance(status, int) else found
        before = before.__cause__ or before.__context__
    return found
