"""Anthropic's own SDK."""

from typing import Any

import anthropic
from pydantic import BaseModel

PACKAGES = ("anthropic",)
QUESTION = "How is the weather?"


class Report(BaseModel):
    city: str
    degrees: int
    sky: list[str]


@anthropic.beta_tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class Messages:
    """Anthropic's Messages."""

    MORE = ("count_tokens",)

    def __init__(self, url: str, key: str, model: str) -> None:
        self.client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)
        messages: list[Any] = [{"role": "user", "content": QUESTION}]
        self.ask: dict[str, Any] = {"model": model, "max_tokens": 100, "messages": messages}

    def chat(self) -> object:
        reply = self.client.messages.create(**self.ask)
        return {"text": reply.content[0].text, "usage": [reply.usage.input_tokens, reply.usage.output_tokens]}

    def stream(self) -> object:
        with self.client.messages.stream(**self.ask) as stream:
            pieces = list(stream.text_stream)
            used = stream.get_final_message().usage
        return {"text": "".join(pieces), "pieces": len(pieces), "usage": [used.input_tokens, used.output_tokens]}

    def tools(self) -> object:
        """By hand and streamed; then the SDK's own runner, which must come to the same."""
        tools = [get_weather.to_dict()]
        with self.client.messages.stream(**self.ask, tools=tools) as stream:
            message = stream.get_final_message()
        calls = [block for block in message.content if block.type == "tool_use"]
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": get_weather.call(call.input)} for call in calls
        ]
        turns = [
            *self.ask["messages"],
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": results},
        ]
        final = self.client.messages.create(**self.ask | {"messages": turns}, tools=tools)
        ran = self.client.beta.messages.tool_runner(**self.ask, tools=[get_weather]).until_done()
        assert ran.content[0].text == final.content[0].text, ran
        return {"text": final.content[0].text, "calls": [call.name for call in calls]}

    def structured(self) -> object:
        return self.client.messages.parse(**self.ask, output_format=Report).parsed_output.model_dump()

    def count_tokens(self) -> object:
        ask = {name: self.ask[name] for name in ("model", "messages")}
        return self.client.messages.count_tokens(**ask).input_tokens > 0


WAYS = (Messages,)
