"""The embedder over a real tiny encoder: what it refuses, and that company changes nothing."""

import asyncio

import numpy as np
import pytest

from trunkline_kit.errors import InvalidRequest, Overloaded
from trunkline_worker.catalogue import MINILM
from trunkline_worker.convert.folder import convert
from trunkline_worker.convert.precision import Precision
from trunkline_worker.embedding import EmbedConfig, OnnxEncoder, open_embedder
from trunkline_worker.model_store import open_model
from trunkline_worker.row_queue import RunConfig
from trunkline_worker.runtimes.session import SessionConfig
from trunkline_worker.tokenizer import read_tokenizer


@pytest.fixture(scope="session")
def encoder(tiny_bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedding")
    convert(MINILM, tiny_bert, Precision.Q8, folder)
    opened = open_model(folder, f"path:{folder}")
    return OnnxEncoder(opened, read_tokenizer(folder / "tokenizer.json"), SessionConfig(threads=1))


async def test_calls_are_bounded(encoder):
    async with open_embedder(encoder, EmbedConfig(max_waiting=0)) as embedder:
        with pytest.raises(Overloaded, match="0 places"):
            await embedder.embed(["a"])
    async with open_embedder(encoder, EmbedConfig()) as embedder:
        assert (await embedder.embed(["a", "b"])).vectors.shape == (2, 64)
        with pytest.raises(InvalidRequest, match="1 to 2048"):
            await embedder.embed([])


async def test_calls_together_get_what_they_get_alone(encoder):
    texts = [["a b c", "d"], ["e f"], ["the " * 20, "a", "b c d e f"], ["g h i"]]
    async with open_embedder(encoder, EmbedConfig(run=RunConfig(batch_texts=3))) as embedder:
        async with asyncio.TaskGroup() as group:
            together = [group.create_task(embedder.embed(one)) for one in texts]
        for one, task in zip(texts, together, strict=True):
            alone = encoder.embed(one, EmbedConfig())
            np.testing.assert_allclose(task.result().vectors, alone.vectors, atol=1e-5)
            assert task.result().prompt_tokens == alone.prompt_tokens
