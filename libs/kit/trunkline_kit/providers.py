"""The places models live, as `trunkline.yaml` names them: an account each, told apart by `kind`."""

from collections.abc import Iterator
from enum import Enum
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from msgspec import Meta, Struct, structs

from trunkline_kit.presets import PRESETS, PresetName
from trunkline_kit.profiles import NOTHING, Profile
from trunkline_kit.secrets import Reference, is_reference
from trunkline_kit.tenants import Count

Target = Annotated[str, Meta(pattern=r"^(dns:///|ipv4:|unix:|local:).+")]
"""Where a service is: `dns:///host:port`, `unix:/path` or `local:name` (the same process)."""
Url = Annotated[str, Meta(pattern=r"^https?://.+")]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Of something at a provider that becomes a part of its addresses."""


WorkerTarget = Annotated[str, Meta(pattern=r"^(dns:///|ipv4:|k8s:///|unix:|local:).+")]


class ReplicaRule(Enum):
    """Which replica of a worker gets a request."""

    SECONDS = "seconds"
    """The one that would have read the prompt first, by its queue, speed, memory and prefix cache."""
    ROUND_ROBIN = "round_robin"
    P2C = "p2c"
    """Of two by chance, the one with fewer requests."""
    HASH = "hash"
    """By the prompt's beginning, within bounded loads."""


class WorkerProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="worker"):
    """Our own workers, over gRPC. `{model}` in the target stands for the deployment's model: one model per worker."""

    target: WorkerTarget = "local:worker-{model}"
    """All its replicas: a headless name, `ipv4:IP:PORT,IP:PORT`, or `k8s:///NAMESPACE/SERVICE:PORT`."""
    balance: ReplicaRule = ReplicaRule.SECONDS
    resume: bool = False
    """Whether an answer that has begun goes on at another replica when its own one fails or stops."""


class Assemble(Enum):
    """Whether whole answers are asked for as streams and put together, so that all four clocks hold for them."""

    AUTO = "auto"
    """Except where a stream is not known to say the same: several choices, tools, sound; or is refused."""
    ALWAYS = "always"
    NEVER = "never"


class ResponsesForm(Enum):
    """Whether a server is asked in OpenAI's Responses, or they are translated to chat completions."""

    AUTO = "auto"
    """Native at OpenAI itself, translated elsewhere."""
    NATIVE = "native"
    TRANSLATED = "translated"


class RerankForm(Enum):
    """What a server calls the documents that it reranks."""

    DOCUMENTS = "documents"
    """As Cohere does: vLLM, SGLang, llama.cpp, Jina, and most others."""
    TEXTS = "texts"
    """Text Embeddings Inference."""


class OpenAIProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="openai"):
    """OpenAI, or any server that speaks its dialect."""

    preset: PresetName | None = None
    """A server that is known by name: its address, the variable of its key, what it does differently."""
    base_url: Url | None = None
    """Left out: the preset's; without one, OpenAI's own."""
    api_key: Reference | None = None
    bills_after_disconnect: bool | None = None
    """Whether the provider charges for what it generates after we hang up (a self-hosted server does not)."""
    connections: Count = 256
    """Connections to this provider at once, per gateway process."""
    response_limit_bytes: Count = 64 * 1024 * 1024
    """A larger whole answer is refused as unusable."""
    assemble_streams: Assemble = Assemble.NEVER
    """With it all four clocks hold for whole answers and a broken one falls over; it costs the CPU of a stream."""
    responses: ResponsesForm = ResponsesForm.AUTO
    """How `/v1/responses` is answered: by the server's own, or over its chat completions."""
    rerank: RerankForm = RerankForm.DOCUMENTS
    """How `/rerank` below its URL wants to be asked."""


_RESPONSES_AT = "https://api.openai.com/"


class ClientCredentials(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An application of Microsoft Entra ID, which gets a token for an hour or so and another one in time."""

    tenant: Name
    client_id: Name
    client_secret: Reference
    authority: Url = "https://login.microsoftonline.com"
    scope: str = "https://cognitiveservices.azure.com/.default"


class AzureProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="azure"):
    """Azure OpenAI and Foundry Models: by a key, or by a token of Entra ID. Models are named by their deployment."""

    base_url: Url
    """The resource's own, such as https://NAME.openai.azure.com, without a path."""
    api_version: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]+$")] | None = None
    """For the classic API, such as "2024-10-21" (in quotes: YAML has dates); left out: the v1 API, which has none."""
    api_key: Reference | None = None
    token: Reference | None = None
    """A token of Entra ID that somebody else keeps fresh; a file is read again when it has changed."""
    entra: ClientCredentials | None = None
    """Or the gateway gets its tokens itself."""
    bills_after_disconnect: bool | None = False
    """Azure stops when the connection closes (OpenRouter, "Stream Cancellation", read 2026-11-25)."""
    assemble_streams: Assemble = Assemble.NEVER
    """As for `kind: openai`."""
    responses: ResponsesForm = ResponsesForm.AUTO
    """The v1 API has them itself; in the classic one that depends on the version, so they are translated."""


class LiteLLMProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="litellm"):
    """A provider that only LiteLLM knows, through its SDK in this process. Needs the extra `trunkline[litellm]`."""

    provider: Name
    """LiteLLM's name of it: what stands before the `/` in its names of models."""
    api_key: Reference | None = None
    """Left out: LiteLLM looks at this process's environment, as its page on the provider says."""
    base_url: Url | None = None
    parameters: dict[str, str] = {}
    """Further arguments of every call, such as `api_version` or `aws_region_name`; values may be references."""
    bills_after_disconnect: bool | None = None


class AnthropicProvider(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="anthropic"
):
    """Anthropic's Messages API."""

    base_url: Url = "https://api.anthropic.com"
    api_key: Reference | None = None
    bills_after_disconnect: bool | None = None


_GEMINI = "https://generativelanguage.googleapis.com"


class GeminiProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="gemini"):
    """Google's Gemini API."""

    base_url: Url = _GEMINI
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
    | AzureProvider
    | LiteLLMProvider
)


P = TypeVar("P", bound=Provider)
_OF_CALLS = frozenset({"model", "messages", "input", "stream", "timeout", "api_key", "api_base", "base_url"})
_NO_LINKS = Profile(image_urls=False)
"""LiteLLM may fetch them from here, and so from inside the gateway's network."""


def settled(settings: P) -> P:
    """With all that its preset knows and it does not say itself."""
    if not isinstance(settings, OpenAIProvider) or settings.preset is None:
        return settings
    preset = PRESETS[settings.preset]
    key = settings.api_key or (f"env:{preset.key_variable}" if preset.key_variable else None)
    bills = settings.bills_after_disconnect
    return structs.replace(
        settings,
        base_url=settings.base_url or preset.base_url,
        api_key=key,
        bills_after_disconnect=preset.bills_after_disconnect if bills is None else bills,
    )


def listed_as(settings: Provider) -> str:
    """An account's name in the price table, where its address does not tell."""
    if isinstance(settings, OpenAIProvider) and settings.preset is not None:
        return PRESETS[settings.preset].listed_as
    return ""


def profile_of(settings: Provider) -> Profile:
    """What none of an account's models can do."""
    if isinstance(settings, OpenAIProvider) and settings.preset is not None:
        return PRESETS[settings.preset].profile
    return _NO_LINKS if isinstance(settings, LiteLLMProvider) else NOTHING


def address_of(settings: Provider) -> str:
    """Where an account is over HTTP; empty for our own workers."""
    settings = settled(settings)
    match settings:
        case WorkerProvider():
            return ""
        case OpenAIProvider(base_url=None):
            return "https://api.openai.com/v1"
        case VertexProvider(base_url=None):
            return f"https://{_vertex_host(settings.location)}"
        case BedrockProvider(base_url=None):
            return f"https://bedrock-runtime.{settings.region}.amazonaws.com"
        case _:
            return settings.base_url or ""


def speaks_responses(settings: Provider) -> bool:
    """Whether an account is asked in OpenAI's Responses. Azure's classic API is not: most of its versions lack them."""
    if isinstance(settings, AzureProvider):
        return settings.api_version is None
    if not isinstance(settings, OpenAIProvider | AzureProvider):
        return False
    if settings.responses is not ResponsesForm.AUTO:
        return settings.responses is ResponsesForm.NATIVE
    if isinstance(settings, AzureProvider):
        return settings.api_version is None
    return address_of(settings).startswith(_RESPONSES_AT)


def _vertex_host(location: str) -> str:
    """Source: google-genai 3.6.1, Google's SDK (read 2026-11-25)."""
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in {"us", "eu"}:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def account_problems(settings: Provider) -> Iterator[str]:
    """What settings that are well-formed get wrong."""
    if isinstance(settings, AzureProvider):
        if sum(one is not None for one in (settings.api_key, settings.token, settings.entra)) != 1:
            yield "needs exactly one of api_key, token and entra"
        if urlsplit(settings.base_url).path.strip("/"):
            yield "base_url is the resource's own address, without a path; api_version says which API"
    if isinstance(settings, BedrockProvider):
        yield from _keys_at_amazon(settings)
    if isinstance(settings, AnthropicProvider) and urlsplit(settings.base_url).path.rstrip("/").endswith("/v1"):
        yield "base_url is without /v1: it is added"
    if isinstance(settings, GeminiProvider) and settings.api_key is None and settings.base_url == _GEMINI:
        yield "needs api_key"
    if isinstance(settings, LiteLLMProvider) and (taken := _OF_CALLS & settings.parameters.keys()):
        yield f"parameters cannot have {', '.join(sorted(taken))}; they have fields of their own or are the callers'"


def _keys_at_amazon(settings: BedrockProvider) -> Iterator[str]:
    pair = (settings.access_key_id, settings.secret_access_key)
    if settings.api_key is None and None in pair:
        yield "needs either api_key, or access_key_id and secret_access_key"
    if settings.api_key is not None and (*pair, settings.session_token) != (None, None, None):
        yield "has api_key and parts of an access key; one of them signs, so leave the other out"


def references_of(settings: Provider) -> list[str]:
    """Where this account's secrets are: every field that refers to one, where it is set.

    Not a token that changes by itself: whoever uses it reads it again.
    """
    settings = settled(settings)
    names = ("api_key", "credentials", "access_key_id", "secret_access_key", "session_token")
    found = [getattr(settings, name, None) for name in names]
    if isinstance(settings, AzureProvider) and settings.entra is not None:
        found.append(settings.entra.client_secret)
    if isinstance(settings, LiteLLMProvider):
        found += [value for value in settings.parameters.values() if is_reference(value)]
    return [reference for reference in found if reference is not None]
