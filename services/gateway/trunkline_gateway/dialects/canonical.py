"""A request in no dialect: what every client dialect decodes to and every provider's wire form is made from.

JSON that only the model reads (schemas, native tools) stays the caller's own bytes, as `Raw`. Fields a dialect has and
this form has not are kept by name in `Request.extras`: a target passes them on, drops them because dropping does no
harm, or refuses the request; nothing else may become of them.
"""

from enum import Enum

import msgspec
from msgspec import Raw


class Dialect(Enum):
    """What a client or a provider speaks. The value is the first or second half of a pair's name."""

    CHAT = "chat"
    MESSAGES = "messages"
    RESPONSES = "responses"


class Role(Enum):
    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    """Only tool results; dialects without this role put them into the user's messages."""


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything below: values that are compared, never changed."""


class CacheMark(Form, frozen=True, kw_only=True):
    """The prompt up to here is worth caching."""

    ttl: str = ""
    """As the caller wrote it, such as `5m`; empty for the provider's own."""


class Text(Form, frozen=True, kw_only=True, tag_field="kind", tag="text"):
    text: str
    citations: tuple["Citation", ...] = ()
    """Only in answers, and in answers that are sent back."""
    cache: CacheMark | None = None


class Image(Form, frozen=True, kw_only=True, tag_field="kind", tag="image"):
    """Exactly one of `url`, `data` and `file_id`."""

    url: str = ""
    data: str = ""
    """Base64."""
    media_type: str = ""
    file_id: str = ""
    detail: str = ""
    """How closely to look, in OpenAI's words; empty for the provider's choice."""
    cache: CacheMark | None = None


class Audio(Form, frozen=True, kw_only=True, tag_field="kind", tag="audio"):
    """Sound, sent or answered."""

    data: str = ""
    """Base64."""
    format: str = ""
    id: str = ""
    """What the provider calls it: enough to send it back."""
    transcript: str = ""
    expires_at: int | None = None
    """Unix seconds."""
    cache: CacheMark | None = None


class File(Form, frozen=True, kw_only=True, tag_field="kind", tag="file"):
    """A document: exactly one of `url`, `data`, `text` and `file_id`."""

    url: str = ""
    data: str = ""
    """Base64."""
    text: str = ""
    media_type: str = ""
    file_id: str = ""
    name: str = ""
    context: str = ""
    """What the model should know about it, not to be cited."""
    wants_citations: bool = False
    cache: CacheMark | None = None


class ToolCall(Form, frozen=True, kw_only=True, tag_field="kind", tag="tool_call"):
    id: str
    name: str
    arguments: str
    """JSON text as the model wrote it, so not always valid."""
    place: str = ""
    """Where the caller wrote them, such as `messages[3].tool_calls[0].function.arguments`: for errors."""
    signature: str = ""
    """What some models (Gemini) want back with the call."""
    cache: CacheMark | None = None


class ToolResult(Form, frozen=True, kw_only=True, tag_field="kind", tag="tool_result"):
    call_id: str
    parts: tuple[Text | Image | File, ...] = ()
    is_error: bool = False
    name: str = ""
    """Of the function, where the dialect repeats it."""
    cache: CacheMark | None = None


class Reasoning(Form, frozen=True, kw_only=True, tag_field="kind", tag="reasoning"):
    """What the model thought. To be sent back unchanged, or not at all."""

    text: str = ""
    signature: str = ""
    """Proves to the provider that `text` is its model's own."""
    encrypted: str = ""
    """Thoughts that only the provider can read."""
    origin: str = ""
    """Whose signature or cipher it is: the provider's protocol, such as `anthropic`."""


class Refusal(Form, frozen=True, kw_only=True, tag_field="kind", tag="refusal"):
    text: str


class Native(Form, frozen=True, kw_only=True, tag_field="kind", tag="native"):
    """A part that only its own dialect knows; another target must refuse it."""

    dialect: Dialect
    type: str
    raw: Raw


Part = Text | Image | Audio | File | ToolCall | ToolResult | Reasoning | Refusal | Native


class Citation(Form, frozen=True, kw_only=True):
    """Where a text comes from. A dialect writes what it has room for."""

    url: str = ""
    title: str = ""
    quote: str = ""
    start: int | None = None
    """In characters of the text block that cites."""
    end: int | None = None
    native: Raw | None = None
    """As the provider wrote it."""
    origin: str = ""
    """Whose `native` it is."""


class Instruction(Form, frozen=True, kw_only=True):
    """One piece of the system prompt before the conversation."""

    text: str
    role: Role = Role.SYSTEM
    name: str = ""
    cache: CacheMark | None = None


class Message(Form, frozen=True, kw_only=True):
    role: Role
    parts: tuple[Part, ...] = ()
    name: str = ""
    place: str = ""
    """Where the caller wrote it, such as `messages[3]`: for errors."""


class Function(Form, frozen=True, kw_only=True, tag_field="kind", tag="function"):
    """A tool that the caller runs."""

    name: str
    description: str = ""
    parameters: Raw | None = None
    """JSON schema; None for no arguments."""
    strict: bool | None = None
    cache: CacheMark | None = None


class NativeTool(Form, frozen=True, kw_only=True, tag_field="kind", tag="native"):
    """A tool that only its own dialect knows, such as a provider's web search."""

    dialect: Dialect
    type: str
    raw: Raw
    place: str = ""


Tool = Function | NativeTool


class ToolMode(Enum):
    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    """Some tool, the model picks which."""
    NAMED = "named"


class ToolChoice(Form, frozen=True, kw_only=True):
    mode: ToolMode
    name: str = ""
    """With NAMED."""
    allowed: tuple[str, ...] = ()
    """With AUTO and REQUIRED: only these; empty for all."""


class Sampling(Form, frozen=True, kw_only=True):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Raw | None = None
    """OpenAI's map of token ids."""


class Structure(Form, frozen=True, kw_only=True):
    """The shape an answer must have: any JSON object, or what `schema` describes."""

    schema: Raw | None = None
    name: str = ""
    description: str = ""
    strict: bool | None = None


class ThinkingMode(Enum):
    ON = "on"
    OFF = "off"
    ADAPTIVE = "adaptive"
    """The model decides."""


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""From the least to the most: all that any dialect has a name for."""


class Thinking(Form, frozen=True, kw_only=True):
    """How much to think before answering. Nothing set leaves it to the model."""

    mode: ThinkingMode | None = None
    effort: str = ""
    """`minimal`, `low`, `medium`, `high`, `xhigh` or `max`."""
    budget_tokens: int | None = None
    summary: str = ""
    """How thoughts are shown, in OpenAI's words; empty for the provider's choice."""


class Extra(Form, frozen=True, kw_only=True):
    """A field of the caller's dialect without a place in this form."""

    name: str
    raw: Raw


class Request(Form, frozen=True, kw_only=True):
    dialect: Dialect
    """Whose field names errors must use."""
    model: str
    instructions: tuple[Instruction, ...] = ()
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    sampling: Sampling = Sampling()
    stops: tuple[str, ...] = ()
    output_tokens_max: int | None = None
    choices: int = 1
    structure: Structure | None = None
    thinking: Thinking | None = None
    logprobs: bool = False
    logprobs_top: int | None = None
    audio: Raw | None = None
    """OpenAI's voice and format, where the answer must also be spoken."""
    verbosity: str = ""
    end_user: str = ""
    metadata: Raw | None = None
    cache: CacheMark | None = None
    """Of the request as a whole."""
    stream: bool = False
    stream_usage: bool = False
    """Whether usage must be in the stream; dialects that always have it there say True."""
    store: bool | None = None
    continues: str = ""
    """The stored response that comes before; its items are the caller's to put in front of `messages`."""
    extras: tuple[Extra, ...] = ()
