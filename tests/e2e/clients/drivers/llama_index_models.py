"""LlamaIndex's models for OpenAI-like servers and Anthropic."""

from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

PACKAGES = ("llama-index-core", "llama-index-llms-openai", "llama-index-llms-openai-like")
QUESTION = "How is the weather?"


class Report(BaseModel):
    """The weather of today."""

    city: str
    degrees: int
    sky: list[str]


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class LlamaIndexOpenAILike:
    """Chat completions."""

    def __init__(self, url: str, key: str, model: str) -> None:
        self.llm: Any = OpenAILike(
            api_base=f"{url}/v1",
            api_key=key,
            model=model,
            is_chat_model=True,
            is_function_calling_model=True,
            max_retries=0,
        )
        self.turns = [ChatMessage(role="user", content=QUESTION)]

    def chat(self) -> object:
        reply = self.llm.chat(self.turns)
        used = reply.raw.usage
        return {"text": reply.message.content, "usage": [used.prompt_tokens, used.completion_tokens]}

    def stream(self) -> object:
        options = {"include_usage": True}
        replies = list(self.llm.stream_chat(self.turns, stream_options=options))
        used = replies[-1].raw.usage
        return {
            "text": replies[-1].message.content,
            "pieces": sum(bool(reply.delta) for reply in replies),
            "usage": [used.prompt_tokens, used.completion_tokens],
        }

    def tools(self) -> object:
        tool = FunctionTool.from_defaults(get_weather)
        asked: dict[str, Any] = {"tools": [tool], "allow_parallel_tool_calls": True}
        *_, reply = self.llm.stream_chat_with_tools(chat_history=self.turns, **asked)
        calls = self.llm.get_tool_calls_from_response(reply)
        results = [
            ChatMessage(
                role="tool",
                content=str(tool.call(**call.tool_kwargs)),
                additional_kwargs={"tool_call_id": call.tool_id},
            )
            for call in calls
        ]
        final = self.llm.chat_with_tools(chat_history=[*self.turns, reply.message, *results], **asked)
        return {"text": final.message.content, "calls": [call.tool_name for call in calls]}

    def structured(self) -> object:
        return self.llm.as_structured_llm(Report).chat(self.turns).raw.model_dump()


WAYS = (LlamaIndexOpenAILike,)
