"""The places models live, as `trunkline.yaml` names them: an account each, told apart by `kind`."""

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from trunkline_kit.secrets import Reference
from trunkline_kit.tenants import Count

Target = Annotated[str, Meta(pattern=r"^(dns:///|ipv4:|unix:|local:).+")]
"""Where a service is: `dns:///host:port`, `unix:/path` or `local:name` (the same process)."""
Url = Annotated[str, Meta(pattern=r"^https?://.+")]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Of something at a provider that becomes a part of its addresses."""


class WorkerProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="worker"):
    """Our own workers, over gRPC. `{model}` in the target stands for the deployment's model: one model per worker."""

    target: Target = "local:worker-{model}"


class Assemble(Enum):
    """Whether whole answers are asked for as streams and put together, so that all four clocks hold for them."""

    AUTO = "auto"
    """Except where a stream is not known to say the same: several choices, tools, sound; or is refused."""
    ALWAYS = "always"
    NEVER = "never"


class OpenAIProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="openai"):
    """OpenAI, or any server that speaks its dialect."""

    base_url: Url = "https://api.openai.com/v1"
    api_key: Reference | None = None
    bills_after_disconnect: bool | None = None
    """Whether the provider charges for what it generates after we hang up (a self-hosted server does not)."""
    connections: Count = 256
    """Connections to this provider at once, per gateway process."""
    response_limit_bytes: Count = 64 * 1024 * 1024
    """A larger whole answer is refused as unusable."""
    assemble_streams: Assemble = Assemble.NEVER
    """With it all four clocks hold for whole answers and a broken one falls over; it costs the CPU of a stream."""


class AnthropicProvider(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="anthropic"
):
    """Anthropic's Messages API."""

    base_url: Url = "https://api.anthropic.com"
    api_key: Reference | None = None
    bills_after_disconnect: bool | None = None


class GeminiProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="gemini"):
    """Google's Gemini API."""

    base_url: Url = "https://generativelanguage.googleapis.com"
    api_key: Reference | None = None
    bills_after_disconnect: bool | None = None


class VertexProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="vertex"):
    """Gemini models in a project of Google Cloud's Vertex AI."""

    project: Name
    location: Name = "global"
    credentials: Reference | None = None
    """A service account's key file, as JSON; left out: the machine's own account, from the metadata server."""
    base_url: Url | None = None
    """Left out: the location's own."""
    bills_after_disconnect: bool | None = None


class BedrockProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="bedrock"):
    """AWS Bedrock's Converse API: by an API key, or signed with an access key."""

    region: Name
    api_key: Reference | None = None
    """Bedrock's own bearer key; with it nothing is signed."""
    access_key_id: Reference | None = None
    secret_access_key: Reference | None = None
    session_token: Reference | None = None
    base_url: Url | None = None
    """Left out: the region's own."""
    bills_after_disconnect: bool | None = None


class CohereProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="cohere"):
    """Cohere's API, version 2: conversations, embeddings and reranking."""

    base_url: Url = "https://api.cohere.com"
    api_key: Reference | None = None
    bills_after_disconnect: bool | None = None


Provider = (
    WorkerProvider
    | OpenAIProvider
    | AnthropicProvider
    | GeminiProvider
    | VertexProvider
    | BedrockProvider
    | CohereProvider
)


def address_of(settings: Provider) -> str:
    """Where an account is over HTTP; empty for our own workers."""
    match settings:
        case WorkerProvider():
            return ""
        case VertexProvider(base_url=None, location="global"):
            return "https://aiplatform.googleapis.com"
        case VertexProvider(base_url=None):
            return f"https://{settings.location}-aiplatform.googleapis.com"
        case BedrockProvider(base_url=None):
            return f"https://bedrock-runtime.{settings.region}.amazonaws.com"
        case _:
            return settings.base_url or ""


def references_of(settings: Provider) -> list[str]:
    """Where this account's secrets are: every field that refers to one, where it is set."""
    names = ("api_key", "credentials", "access_key_id", "secret_access_key", "session_token")
    found = [getattr(settings, name, None) for name in names]
    return [reference for reference in found if reference is not None]
