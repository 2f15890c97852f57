"""Servers of OpenAI's dialect that are known by name: where they are, whose key they want, what they do differently.

Data, no code. Everything here is a default: what `trunkline.yaml` says itself counts. To add one, add it to
`PresetName` and to `PRESETS`.

Sources (read 2026-11-25): each provider's own page on compatibility with OpenAI, as named below. Who stops charging
when a stream is cut: OpenRouter, "Streaming", section "Stream Cancellation", which lists it by provider; one's own
servers stop when the connection closes.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from trunkline_kit.profiles import NOTHING, Profile

PresetName = Literal[
    "baseten",
    "cerebras",
    "deepinfra",
    "deepseek",
    "fireworks",
    "groq",
    "huggingface",
    "llamacpp",
    "lmstudio",
    "mistral",
    "moonshot",
    "nvidia",
    "ollama",
    "openai",
    "openrouter",
    "perplexity",
    "sambanova",
    "sglang",
    "together",
    "vllm",
    "xai",
    "zai",
]


class Preset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of server."""

    title: str
    base_url: str
    key_variable: str = ""
    """Where its key is looked for; empty for servers of one's own, which need none."""
    bills_after_disconnect: bool | None = None
    """Whether it goes on, and charges, when we hang up; None where nobody says."""
    listed_as: str = ""
    """Its name in the price table; empty: by its address."""
    usage_in_streams: Literal["asked", "always"] = "asked"
    """Whether usage must be asked for with `stream_options`, or comes by itself where that would be refused."""
    output_limit_field: Literal["max_tokens", "max_completion_tokens", "either"] = "either"
    """The one name of the two that it knows."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Further fields under a name of its own."""
    dropped: frozenset[str] = frozenset()
    """Fields that it refuses and that no answer depends on: left out."""
    developer_role: bool = False
    """Whether messages may have that role, which elsewhere is the system's. For requests of other dialects."""
    reasoning_field: Literal["", "reasoning", "reasoning_content"] = ""
    """Where thoughts of earlier turns are sent back. For requests of other dialects."""
    cache_marks: bool = False
    """Whether `cache_control` on parts is understood. For requests of other dialects."""
    end_user: bool = True
    """Whether `user` is understood. For requests of other dialects."""
    profile: Profile = NOTHING
    """What none of its models can do."""


_OF_THE_STORE = frozenset({"store", "metadata", "service_tier", "prompt_cache_key", "prompt_cache_retention"})
"""About what OpenAI keeps and how soon it answers."""

_SELF_HOSTED: Mapping[PresetName, Preset] = {
    # docs.vllm.ai, "OpenAI-Compatible Server" and "Reasoning Outputs".
    "vllm": Preset(
        title="vLLM",
        base_url="http://localhost:8000/v1",
        bills_after_disconnect=False,
        reasoning_field="reasoning",
        profile=Profile(top_k=True),
    ),
    # docs.sglang.ai, "OpenAI APIs - Completions" and "Reasoning Parser".
    "sglang": Preset(
        title="SGLang",
        base_url="http://localhost:30000/v1",
        bills_after_disconnect=False,
        reasoning_field="reasoning_content",
        profile=Profile(top_k=True),
    ),
    # docs.ollama.com, "OpenAI compatibility": the list of fields; others are ignored without a word.
    "ollama": Preset(
        title="Ollama",
        base_url="http://localhost:11434/v1",
        bills_after_disconnect=False,
        output_limit_field="max_tokens",
        reasoning_field="reasoning",
        profile=Profile(choices=False, logit_bias=False, one_tool_at_a_time=False, audio_output=False),
    ),
    # github.com/ggml-org/llama.cpp, tools/server/README.md.
    "llamacpp": Preset(
        title="llama.cpp server",
        base_url="http://localhost:8080/v1",
        bills_after_disconnect=False,
        reasoning_field="reasoning_content",
        profile=Profile(top_k=True, audio_output=False),
    ),
    # lmstudio.ai/docs, "OpenAI Compatibility Endpoints".
    "lmstudio": Preset(
        title="LM Studio",
        base_url="http://localhost:1234/v1",
        bills_after_disconnect=False,
        output_limit_field="max_tokens",
        reasoning_field="reasoning",
        profile=Profile(choices=False, audio_output=False),
    ),
}

_MAKERS: Mapping[PresetName, Preset] = {
    "openai": Preset(
        title="OpenAI",
        base_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        bills_after_disconnect=False,
        listed_as="openai",
        developer_role=True,
    ),
    # api-docs.deepseek.com, "Create Chat Completion" and "Reasoning Model".
    "deepseek": Preset(
        title="DeepSeek",
        base_url="https://api.deepseek.com/v1",
        key_variable="DEEPSEEK_API_KEY",
        bills_after_disconnect=False,
        listed_as="deepseek",
        output_limit_field="max_tokens",
        profile=Profile(choices=False, logit_bias=False, json_schema=False, images=False, audio_output=False),
    ),
    # docs.mistral.ai, "Chat Completion API": unknown fields are refused with 422, `stream_options.include_usage`,
    # `max_completion_tokens` and `store` among them (avante-corp/avante.nvim issue 2347, Gitlawb/openclaude issue 739).
    "mistral": Preset(
        title="Mistral",
        base_url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        bills_after_disconnect=True,
        listed_as="mistral",
        usage_in_streams="always",
        output_limit_field="max_tokens",
        renamed=(("seed", "random_seed"),),
        dropped=_OF_THE_STORE | {"user", "safety_identifier"},
        end_user=False,
        profile=Profile(logit_bias=False, logprobs=False, verbosity=False, audio_output=False),
    ),
    # platform.moonshot.ai/docs, "Chat".
    "moonshot": Preset(
        title="Moonshot (Kimi)",
        base_url="https://api.moonshot.ai/v1",
        key_variable="MOONSHOT_API_KEY",
        listed_as="moonshotai",
        output_limit_field="max_tokens",
        reasoning_field="reasoning_content",
        profile=Profile(logit_bias=False, logprobs=False, audio_output=False),
    ),
    # docs.perplexity.ai, "Chat Completions": no function calling.
    "perplexity": Preset(
        title="Perplexity",
        base_url="https://api.perplexity.ai",
        key_variable="PERPLEXITY_API_KEY",
        bills_after_disconnect=True,
        listed_as="perplexity",
        output_limit_field="max_tokens",
        profile=Profile(tools=False, choices=False, logprobs=False, logit_bias=False, seed=False, audio_output=False),
    ),
    # docs.x.ai, "Chat completions".
    "xai": Preset(
        title="xAI",
        base_url="https://api.x.ai/v1",
        key_variable="XAI_API_KEY",
        bills_after_disconnect=False,
        listed_as="x-ai",
        profile=Profile(logit_bias=False, audio_output=False),
    ),
    # docs.z.ai, "Chat Completion".
    "zai": Preset(
        title="Z.ai (GLM)",
        base_url="https://api.z.ai/api/paas/v4",
        key_variable="ZAI_API_KEY",
        listed_as="zai",
        output_limit_field="max_tokens",
        reasoning_field="reasoning_content",
        profile=Profile(choices=False, logit_bias=False, logprobs=False, json_schema=False, audio_output=False),
    ),
}

_HOSTS: Mapping[PresetName, Preset] = {
    # docs.baseten.co, "Model APIs".
    "baseten": Preset(
        title="Baseten",
        base_url="https://inference.baseten.co/v1",
        key_variable="BASETEN_API_KEY",
        listed_as="baseten",
        profile=Profile(audio_output=False),
    ),
    # inference-docs.cerebras.ai, "OpenAI Compatibility": the unsupported fields.
    "cerebras": Preset(
        title="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        key_variable="CEREBRAS_API_KEY",
        listed_as="cerebras",
        output_limit_field="max_completion_tokens",
        reasoning_field="reasoning",
        profile=Profile(penalties=False, logit_bias=False, choices=False, audio_output=False),
    ),
    # deepinfra.com/docs, "OpenAI-Compatible API".
    "deepinfra": Preset(
        title="DeepInfra",
        base_url="https://api.deepinfra.com/v1/openai",
        key_variable="DEEPINFRA_TOKEN",
        bills_after_disconnect=False,
        output_limit_field="max_tokens",
        profile=Profile(logit_bias=False, audio_output=False),
    ),
    # docs.fireworks.ai, "OpenAI compatibility".
    "fireworks": Preset(
        title="Fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        key_variable="FIREWORKS_API_KEY",
        bills_after_disconnect=False,
        listed_as="fireworks",
        output_limit_field="max_tokens",
        reasoning_field="reasoning_content",
        profile=Profile(audio_output=False, top_k=True),
    ),
    # console.groq.com/docs/openai, "Currently Unsupported OpenAI Features".
    "groq": Preset(
        title="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_variable="GROQ_API_KEY",
        bills_after_disconnect=True,
        listed_as="groq",
        reasoning_field="reasoning",
        profile=Profile(logprobs=False, logit_bias=False, choices=False, audio_output=False),
    ),
    # huggingface.co/docs, "Inference Providers".
    "huggingface": Preset(
        title="Hugging Face router",
        base_url="https://router.huggingface.co/v1",
        key_variable="HF_TOKEN",
        bills_after_disconnect=True,
        output_limit_field="max_tokens",
        profile=Profile(audio_output=False),
    ),
    # docs.nvidia.com/nim, "API Reference".
    "nvidia": Preset(
        title="NVIDIA NIM",
        base_url="https://integrate.api.nvidia.com/v1",
        key_variable="NVIDIA_API_KEY",
        output_limit_field="max_tokens",
        profile=Profile(audio_output=False),
    ),
    # openrouter.ai/docs, "Parameters", "Prompt Caching" and "Reasoning Tokens".
    # Whether it cancels depends on whose model it is.
    "openrouter": Preset(
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        listed_as="openrouter",
        output_limit_field="max_tokens",
        reasoning_field="reasoning",
        cache_marks=True,
        profile=Profile(choices=False, top_k=True),
    ),
    # docs.sambanova.ai, "OpenAI compatibility".
    "sambanova": Preset(
        title="SambaNova",
        base_url="https://api.sambanova.ai/v1",
        key_variable="SAMBANOVA_API_KEY",
        bills_after_disconnect=True,
        output_limit_field="max_tokens",
        profile=Profile(
            logprobs=False, logit_bias=False, choices=False, penalties=False, seed=False, audio_output=False
        ),
    ),
    # docs.together.ai, "OpenAI Compatibility".
    "together": Preset(
        title="Together",
        base_url="https://api.together.xyz/v1",
        key_variable="TOGETHER_API_KEY",
        bills_after_disconnect=False,
        listed_as="together",
        output_limit_field="max_tokens",
        profile=Profile(audio_output=False, top_k=True),
    ),
}

PRESETS: Mapping[PresetName, Preset] = {**_SELF_HOSTED, **_MAKERS, **_HOSTS}
"""All of them."""
