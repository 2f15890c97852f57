"""Pydantic AI's agents over its models for OpenAI and Anthropic."""

import asyncio
from typing import Any

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

PACKAGES = ("pydantic-ai-slim",)
PROFILE = ModelProfile(supports_json_schema_output=True)
"""A model whose name Pydantic AI does not know: what it can do has to be said."""
QUESTION = "How is the weather?"


class Report(BaseModel):
    city: str
    degrees: int
    sky: list[str]


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class _Agent:
    """What all have in common."""

    model: Any

    def chat(self) -> object:
        reply = Agent(self.model).run_sync(QUESTION)
        return {"text": reply.output, "usage": [reply.usage.input_tokens, reply.usage.output_tokens]}

    def stream(self) -> object:
        return asyncio.run(self._stream())

    async def _stream(self) -> object:
        async with Agent(self.model).run_stream(QUESTION) as reply:
            pieces = [piece async for piece in reply.stream_text(delta=True, debounce_by=None)]
            used = reply.usage
        return {"text": "".join(pieces), "pieces": len(pieces), "usage": [used.input_tokens, used.output_tokens]}

    def tools(self) -> object:
        reply = Agent(self.model, tools=[get_weather]).run_sync(QUESTION)
        answers = [message for message in reply.all_messages() if isinstance(message, ModelResponse)]
        calls = [part.tool_name for answer in answers for part in answer.parts if isinstance(part, ToolCallPart)]
        return {"text": reply.output, "calls": calls}

    def structured(self) -> object:
        """Both ways must come to the same: a schema for the answer, and a tool that has it as arguments."""
        by_tool = Agent(self.model, output_type=ToolOutput(Report)).run_sync(QUESTION).output
        by_schema = Agent(self.model, output_type=NativeOutput(Report)).run_sync(QUESTION).output
        assert by_tool == by_schema, by_tool
        return by_schema.model_dump()


class PydanticAIOpenAIChat(_Agent):
    """Chat completions."""

    def __init__(self, url: str, key: str, model: str) -> None:
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        self.model = OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client))


class PydanticAIOpenAIResponses(_Agent):
    """The Responses API."""

    def __init__(self, url: str, key: str, model: str) -> None:
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        self.model = OpenAIResponsesModel(model, provider=OpenAIProvider(openai_client=client))


class PydanticAIAnthropic(_Agent):
    """Anthropic's Messages."""

    def __init__(self, url: str, key: str, model: str) -> None:
        client = AsyncAnthropic(base_url=url, api_key=key, max_retries=0)
        self.model = AnthropicModel(model, provider=AnthropicProvider(anthropic_client=client), profile=PROFILE)


WAYS = (PydanticAIOpenAIChat, PydanticAIOpenAIResponses, PydanticAIAnthropic)
