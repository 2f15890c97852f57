"""LangChain's chat models for OpenAI and Anthropic."""

from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

PACKAGES = ("langchain-core", "langchain-openai", "langchain-anthropic")
QUESTION = "How is the weather?"


class Report(BaseModel):
    city: str
    degrees: int
    sky: list[str]


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class _ChatModel:
    """What both have in common."""

    llm: Any

    def chat(self) -> object:
        reply = self.llm.invoke(QUESTION)
        used = reply.usage_metadata
        return {"text": reply.text, "usage": [used["input_tokens"], used["output_tokens"]]}

    def stream(self) -> object:
        chunks: list[AIMessageChunk] = list(self.llm.stream(QUESTION))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        used = whole.usage_metadata
        return {
            "text": whole.text,
            "pieces": sum(bool(chunk.text) for chunk in chunks),
            "usage": [used["input_tokens"], used["output_tokens"]],
        }

    def tools(self) -> object:
        bound = self.llm.bind_tools([get_weather])
        turns: list[Any] = [HumanMessage(QUESTION)]
        chunks = list(bound.stream(turns))
        message = chunks[0]
        for chunk in chunks[1:]:
            message += chunk
        turns += [message, *(get_weather.invoke(call) for call in message.tool_calls)]
        return {"text": bound.invoke(turns).text, "calls": [call["name"] for call in message.tool_calls]}

    def structured(self) -> object:
        """Both ways must come to the same: a schema for the answer, and a tool that has it as arguments."""
        by_tool = self.llm.with_structured_output(Report, method="function_calling").invoke(QUESTION)
        by_schema = self.llm.with_structured_output(Report, method="json_schema").invoke(QUESTION)
        assert by_tool == by_schema, by_tool
        return by_schema.model_dump()


class LangChainOpenAI(_ChatModel):
    """Chat completions."""

    def __init__(self, url: str, key: str, model: str) -> None:
        self.llm = ChatOpenAI(base_url=f"{url}/v1", api_key=key, model=model, max_retries=0, stream_usage=True)


class LangChainAnthropic(_ChatModel):
    """Anthropic's Messages."""

    def __init__(self, url: str, key: str, model: str) -> None:
        self.llm = ChatAnthropic(base_url=url, api_key=key, model=model, max_retries=0, max_tokens=100)


WAYS = (LangChainOpenAI, LangChainAnthropic)
