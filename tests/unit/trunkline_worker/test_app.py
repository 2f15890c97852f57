"""Real graphs of tiny models behind the contract."""

import numpy as np
import pytest

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline.worker.v1.worker_service_pb2_grpc import WorkerServiceStub
from trunkline_worker.app import open_worker
from trunkline_worker.catalogue import MINILM, SMOLLM2
from trunkline_worker.config import WorkerConfig
from trunkline_worker.convert.folder import convert
from trunkline_worker.convert.precision import Precision
from trunkline_worker.runtimes.onnx import SlotConfig
from trunkline_worker.runtimes.session import SessionConfig


@pytest.fixture
def config(tmp_path):
    return WorkerConfig(
        listen="local:worker",
        home=tmp_path,
        model=f"path:{tmp_path}",
        slots=SlotConfig(slots=2, slot_tokens=64),
        session=SessionConfig(threads=1),
        drain_grace_s=0,
    )


async def test_generate(config, kit, tiny_gguf, tmp_path):
    convert(SMOLLM2, tiny_gguf, Precision.Q8, tmp_path)
    async with open_worker(config, kit) as part, kit.net.channel(part.address) as channel:
        stub = WorkerServiceStub(channel)
        request = pb.GenerateRequest(request_id="a", messages_json=b'[{"role":"user","content":"hi"}]', max_tokens=5)
        request.sampling.temperature = 0
        messages = [message async for message in stub.Generate(request, timeout=30)]
        assert 1 <= messages[-1].usage.completion_tokens <= 5
        info = await stub.GetModelInfo(pb.GetModelInfoRequest(), timeout=5)
        assert (info.execution_provider, info.variant, info.context_tokens) == ("CPUExecutionProvider", "own", 64)
        assert len(info.revision) == 12


async def test_embed(config, kit, tiny_bert, tmp_path):
    convert(MINILM, tiny_bert, Precision.Q8, tmp_path)
    async with open_worker(config, kit) as part, kit.net.channel(part.address) as channel:
        stub = WorkerServiceStub(channel)
        reply = await stub.Embed(pb.EmbedRequest(texts=["abc", "d e"]), timeout=30)
        vectors = [np.frombuffer(one.vector_f32, "<f4") for one in reply.embeddings]
        assert [round(float(np.linalg.norm(vector)), 4) for vector in vectors] == [1, 1]
        info = await stub.GetModelInfo(pb.GetModelInfoRequest(), timeout=5)
        assert (info.kind, info.embedding_dimensions) == (pb.MODEL_KIND_EMBED, 64)
        assert reply.encoder_id == f"{info.model}@{info.revision}"
        loads = stub.GetLoad(pb.GetLoadRequest(), timeout=5)
        assert (await loads.read()).max_running == 1
        loads.cancel()
        await stub.Drain(pb.DrainRequest(), timeout=5)
        with pytest.raises(Exception, match="draining"):
            await stub.Embed(pb.EmbedRequest(texts=["abc"]), timeout=5)
