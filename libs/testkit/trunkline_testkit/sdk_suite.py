"""What any gateway must answer to the real OpenAI SDK, whatever is behind it."""

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

PROMPT: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Name three colours."}]
ANSWER_TOKENS = 24


def stream_equals_whole(client: openai.OpenAI, model: str) -> str:
    """Greedy and limited: both ways give the same text, finish reason and usage. Returns the text."""
    whole = client.chat.completions.create(model=model, messages=PROMPT, temperature=0, max_tokens=ANSWER_TOKENS)
    stream = client.chat.completions.create(
        model=model,
        messages=PROMPT,
        temperature=0,
        max_tokens=ANSWER_TOKENS,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    pieces = [chunk.choices[0] for chunk in chunks if chunk.choices]
    text = "".join(piece.delta.content or "" for piece in pieces)
    assert text
    assert text == whole.choices[0].message.content
    assert [piece.finish_reason for piece in pieces if piece.finish_reason] == [whole.choices[0].finish_reason]
    assert whole.usage is not None
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    return text


async def async_stream_equals(client: openai.AsyncOpenAI, model: str, text: str) -> None:
    """The asynchronous SDK sees the same stream."""
    stream = await client.chat.completions.create(
        model=model, messages=PROMPT, temperature=0, max_tokens=ANSWER_TOKENS, stream=True
    )
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(pieces) == text


def models_are_listed(client: openai.OpenAI, *names: str) -> None:
    """In the list, and each by its name."""
    assert set(names) <= {model.id for model in client.models.list()}
    for name in names:
        assert client.models.retrieve(name).id == name


def refuses_strangers(client: openai.OpenAI, model: str) -> None:
    """A key that nobody has is a 401 with our reason."""
    with pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model=model, messages=PROMPT)
    assert caught.value.code == "invalid_api_key"


def refuses_unknown_models(client: openai.OpenAI) -> None:
    """A model that nobody serves is a 404 naming it."""
    with pytest.raises(openai.NotFoundError, match="no-such-model") as caught:
        client.chat.completions.create(model="no-such-model", messages=PROMPT)
    assert caught.value.code == "model_not_found"
