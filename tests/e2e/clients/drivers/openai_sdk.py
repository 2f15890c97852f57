"""OpenAI's own SDK."""

import json
from typing import Any

import openai
from pydantic import BaseModel

PACKAGES = ("openai",)
QUESTION = "How is the weather?"


class Report(BaseModel):
    city: str
    degrees: int
    sky: list[str]


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


TOOL = openai.pydantic_function_tool(
    type("Weather", (BaseModel,), {"__annotations__": {"city": str}}), name="get_weather", description="The weather."
)


class Chat:
    """Chat completions."""

    def __init__(self, url: str, key: str, model: str) -> None:
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        self.model = model
        self.messages: list[Any] = [{"role": "user", "content": QUESTION}]

    def chat(self) -> object:
        reply = self.client.chat.completions.create(model=self.model, messages=self.messages)
        used = reply.usage
        return {"text": reply.choices[0].message.content, "usage": [used.prompt_tokens, used.completion_tokens]}

    def stream(self) -> object:
        options: Any = {"include_usage": True}
        stream = self.client.chat.completions.create(
            model=self.model, messages=self.messages, stream=True, stream_options=options
        )
        chunks = list(stream)
        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        used = chunks[-1].usage
        return {
            "text": "".join(pieces),
            "pieces": sum(map(bool, pieces)),
            "usage": [used.prompt_tokens, used.completion_tokens],
        }

    def tools(self) -> object:
        """The stream helper puts the calls together; their results go back."""
        asked: dict[str, Any] = {"model": self.model, "tools": [TOOL]}
        with self.client.chat.completions.stream(**asked, messages=self.messages) as stream:
            message = stream.get_final_completion().choices[0].message
        calls = message.tool_calls or []
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": get_weather(**json.loads(call.function.arguments))}
            for call in calls
        ]
        turns = [*self.messages, message.model_dump(exclude_none=True, exclude={"parsed"}), *results]
        final = self.client.chat.completions.create(**asked, messages=turns)
        return {"text": final.choices[0].message.content, "calls": [call.function.name for call in calls]}

    def structured(self) -> object:
        completion = self.client.chat.completions.parse(
            model=self.model, messages=self.messages, response_format=Report
        )
        return completion.choices[0].message.parsed.model_dump()


class AsGoogleDocuments:
    """The fields that Google documents for its OpenAI-compatible API: `google` inside a literal `extra_body`."""

    MORE = ("google_fields",)

    def __init__(self, url: str, key: str, model: str) -> None:
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        self.model = model

    def google_fields(self) -> object:
        fields = {"extra_body": {"google": {"thinking_config": {"include_thoughts": True}}}}
        reply = self.client.chat.completions.create(
            model=self.model,
            messages=[{"role": "user", "content": QUESTION}],
            reasoning_effort="low",
            extra_body=fields,
        )
        return reply.choices[0].message.content


class ResponseFailedError(Exception):
    """The SDK hands the event over and raises nothing itself."""


class Responses:
    """The Responses API."""

    def __init__(self, url: str, key: str, model: str) -> None:
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        self.model = model

    def chat(self) -> object:
        reply = self.client.responses.create(model=self.model, input=QUESTION, store=False)
        return {"text": reply.output_text, "usage": [reply.usage.input_tokens, reply.usage.output_tokens]}

    def stream(self) -> object:
        with self.client.responses.stream(model=self.model, input=QUESTION, store=False) as stream:
            pieces = []
            for event in stream:
                if event.type == "response.output_text.delta":
                    pieces.append(event.delta)
                elif event.type == "response.failed":
                    raise ResponseFailedError(event.response.error.message)
            reply = stream.get_final_response()
        return {
            "text": "".join(pieces),
            "pieces": len(pieces),
            "usage": [reply.usage.input_tokens, reply.usage.output_tokens],
        }

    def tools(self) -> object:
        tool: Any = {"type": "function", "name": "get_weather", "parameters": TOOL["function"]["parameters"]}
        turns: list[Any] = [{"role": "user", "content": QUESTION}]
        with self.client.responses.stream(model=self.model, input=turns, tools=[tool], store=False) as stream:
            first = stream.get_final_response()
        calls = [item for item in first.output if item.type == "function_call"]
        turns += [call.model_dump(include={"type", "call_id", "name", "arguments"}) for call in calls]
        for call in calls:
            result = get_weather(**json.loads(call.arguments))
            turns.append({"type": "function_call_output", "call_id": call.call_id, "output": result})
        final = self.client.responses.create(model=self.model, input=turns, tools=[tool], store=False)
        return {"text": final.output_text, "calls": [call.name for call in calls]}

    def structured(self) -> object:
        reply = self.client.responses.parse(model=self.model, input=QUESTION, text_format=Report, store=False)
        return reply.output_parsed.model_dump()


WAYS = (Chat, Responses, AsGoogleDocuments)
