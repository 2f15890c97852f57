"""Workers that read texts, behind their contract, over the in-process transport."""

import grpc
import pytest

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline.worker.v1.worker_service_pb2_grpc import WorkerServiceStub
from trunkline_kit.errors import Unsupported
from trunkline_worker.app import open_worker
from trunkline_worker.config import WorkerConfig
from trunkline_worker.convert.classifier import convert_classifier
from trunkline_worker.convert.precision import Precision
from trunkline_worker.row_service import ClassifyService, EmbedService


@pytest.fixture
def stub(tiny_classifier, tmp_path, kit):
    """Opens a worker of so many labels; used as an async context manager."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def opened(labels: int):
        convert_classifier(tiny_classifier(labels), Precision.Q8, tmp_path)
        config = WorkerConfig(listen="local:worker", home=tmp_path, model=f"path:{tmp_path}", drain_grace_s=0)
        async with open_worker(config, kit) as part, kit.net.channel(part.address) as channel:
            yield WorkerServiceStub(channel)

    return opened


async def test_rerank(stub):
    async with stub(1) as worker:
        info = await worker.GetModelInfo(pb.GetModelInfoRequest(), timeout=5)
        assert (info.kind, list(info.labels), info.context_tokens) == (pb.MODEL_KIND_CLASSIFY, ["LABEL_0"], 64)
        reply = await worker.Rerank(pb.RerankRequest(query="a", documents=["b", "c d", "e" * 90]), timeout=5)
        assert len(reply.scores) == 3
        assert all(0 <= score <= 1 for score in reply.scores)
        assert (reply.prompt_tokens > 9, reply.truncated_documents) == (True, 1)


async def test_classify_and_what_it_cannot(stub, kit):
    async with stub(2) as worker:
        reply = await worker.Classify(pb.ClassifyRequest(texts=["a", "b c"]), timeout=5)
        assert [[label.label for label in one.labels] for one in reply.classifications] == [["LABEL_0", "LABEL_1"]] * 2
        assert sum(label.p for label in reply.classifications[0].labels) == pytest.approx(1)
        for call, text in (
            (worker.Embed(pb.EmbedRequest(texts=["a"]), timeout=5), "cannot embed"),
            (worker.Rerank(pb.RerankRequest(query="a", documents=["b"]), timeout=5), "2 labels"),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match=text):
                await call
        with pytest.raises(grpc.aio.AioRpcError, match="cannot generate"):
            await worker.Generate(pb.GenerateRequest(request_id="a", text="b"), timeout=5).read()
        labels = {"model": worker_name(kit), "finish": "classified"}
        assert kit.metrics.get_sample_value("trunkline_worker_requests_total", labels) == 1


def worker_name(kit) -> str:
    (name,) = {
        sample.labels["model"]
        for family in kit.metrics.collect()
        for sample in family.samples
        if family.name == "trunkline_worker_slots"
    }
    return name


async def test_load_abort_and_drain(stub):
    async with stub(1) as worker:
        load = await anext(aiter(worker.GetLoad(pb.GetLoadRequest(), timeout=5)))
        assert (load.running, load.waiting, load.draining) == (0, 0, False)
        assert not (await worker.Abort(pb.AbortRequest(request_id="x"), timeout=5)).found
        await worker.Drain(pb.DrainRequest(), timeout=5)
        with pytest.raises(grpc.aio.AioRpcError, match="draining"):
            await worker.Rerank(pb.RerankRequest(query="a", documents=["b"]), timeout=5)


def test_what_is_not_there_is_said():
    for service, text in ((EmbedService, "makes vectors"), (ClassifyService, "classifies")):
        made = object.__new__(service)
        made._info = pb.GetModelInfoResponse(model="m")
        error = made._cannot("do it")
        assert isinstance(error, Unsupported)
        assert error.message == f"m {text}; it cannot do it"
