"""Composition root of a worker: the one file that chooses between the real model and the fake one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypeAlias

from msgspec import Struct

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline.worker.v1.worker_service_pb2_grpc import add_WorkerServiceServicer_to_server
from trunkline_kit.health import Health
from trunkline_kit.lifecycle import background
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import ServeOptions
from trunkline_kit.settings import Settings
from trunkline_worker.batching import Batcher
from trunkline_worker.catalogue import ModelKind
from trunkline_worker.classifying import OnnxClassifier, open_classifier
from trunkline_worker.config import WorkerConfig
from trunkline_worker.embedding import OnnxEncoder, open_embedder
from trunkline_worker.engine import Engine, open_engine
from trunkline_worker.generation import MAX_CHOICES, SamplingOptions
from trunkline_worker.guides import GuideMaker
from trunkline_worker.metrics import worker_metrics
from trunkline_worker.model_store import ModelFolder, open_model
from trunkline_worker.row_service import ClassifyService, EmbedService, RowService
from trunkline_worker.runtimes.base import DecoderRuntime
from trunkline_worker.runtimes.fake import EOS_ID, ByteCodec, FakeDecoder
from trunkline_worker.runtimes.onnx import OnnxDecoder
from trunkline_worker.runtimes.session import check_installation
from trunkline_worker.runtimes.verifier import VERIFY_TOKENS
from trunkline_worker.service import GenerateService, model_info
from trunkline_worker.tokenizer import ModelTokenizer, read_tokenizer, read_tokenizer_config
from trunkline_worker.utilisation import measured
from trunkline_worker.wire import Intake

FAKE = "fake:"
_CHECKS_PER_STALL = 8
Service: TypeAlias = GenerateService | RowService


class Decoder(Struct, frozen=True, kw_only=True):
    """A model that generates, loaded."""

    runtime: DecoderRuntime
    intake: Intake
    eos_ids: frozenset[int]
    info: pb.GetModelInfoResponse


class WorkerPart:
    """A running worker."""

    name = "worker"

    def __init__(self, address: str) -> None:
        self.address = address

    async def apply(self, settings: Settings) -> None:
        """A worker's model and memory are fixed at its start; a changed entry takes effect with the next one."""


@asynccontextmanager
async def open_worker(config: WorkerConfig, kit: Kit) -> AsyncIterator[WorkerPart]:
    """Load the model, then serve `trunkline.worker.v1` at `config.listen` until the block ends.

    Raises ModelError for a model that is not prepared or damaged, ConfigError for a device that is not there, Conflict
    for an address that is taken.
    """
    health = Health()
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(_open_service(config, kit, health))
        register = partial(add_WorkerServiceServicer_to_server, service)
        options = ServeOptions(grace_s=config.drain_grace_s)
        address = await stack.enter_async_context(
            kit.net.serve(config.listen, register, health=health, options=options)
        )
        stack.callback(service.close)
        yield WorkerPart(address)


@asynccontextmanager
async def _open_service(config: WorkerConfig, kit: Kit, health: Health) -> AsyncIterator[Service]:
    if config.model == FAKE:
        async with _open_generate(fake_decoder(config), config, kit, health) as service:
            yield service
        return
    folder = await asyncio.to_thread(_checked_folder, config)
    if folder.kind is ModelKind.GENERATE:
        decoder = await asyncio.to_thread(load_decoder, folder, config)
        async with _open_generate(decoder, config, kit, health) as service:
            yield service
    else:
        opened = _open_classify if folder.kind is ModelKind.CLASSIFY else _open_embed
        async with opened(folder, config, kit) as service:
            yield service


@asynccontextmanager
async def _open_generate(
    decoder: Decoder, config: WorkerConfig, kit: Kit, health: Health
) -> AsyncIterator[GenerateService]:
    batcher = Batcher(decoder.runtime, decoder.intake.codec, decoder.eos_ids, config.batch, kit.clock)
    metrics = worker_metrics(kit.metrics, kit.clock)
    peaks = None if decoder.runtime.cost is None else await asyncio.to_thread(measured, config.peaks)
    metrics.serving.expect(decoder.info.model, config.objectives, peaks)
    engine_ = open_engine(batcher, config.drain_grace_s, kit.clock)
    async with engine_ as engine, background(_watch(engine, health)), background(_check(engine, config.stall_s)):
        with metrics.watching(decoder.info.model, lambda: engine.load):
            yield GenerateService(engine, decoder.intake, decoder.info, metrics, kit)


@asynccontextmanager
async def _open_embed(folder: ModelFolder, config: WorkerConfig, kit: Kit) -> AsyncIterator[RowService]:
    tokenizer = await asyncio.to_thread(read_tokenizer, folder.path / "tokenizer.json")
    encoder = await asyncio.to_thread(OnnxEncoder, folder, tokenizer, config.session)
    info = _info(folder, encoder.max_tokens, encoder.provider)
    info.embedding_dimensions = encoder.dimensions
    async with open_embedder(encoder, config.embed, kit.clock) as embedder:
        metrics = worker_metrics(kit.metrics, kit.clock)
        service = EmbedService(embedder, info, metrics, kit.clock)
        with metrics.watching(folder.name, service.load):
            yield service


@asynccontextmanager
async def _open_classify(folder: ModelFolder, config: WorkerConfig, kit: Kit) -> AsyncIterator[RowService]:
    tokenizer = await asyncio.to_thread(read_tokenizer, folder.path / "tokenizer.json")
    model = await asyncio.to_thread(OnnxClassifier, folder, tokenizer, config.session)
    info = _info(folder, model.max_tokens, model.provider)
    info.labels.extend(model.labels)
    async with open_classifier(model, config.embed, kit.clock) as classifier:
        metrics = worker_metrics(kit.metrics, kit.clock)
        service = ClassifyService(classifier, info, metrics, kit.clock)
        with metrics.watching(folder.name, service.load):
            yield service


async def _watch(engine: Engine, health: Health) -> None:
    """Turn health off when the engine dies or drains: nothing more should be sent here."""
    while engine.failure is None and not engine.load.draining:
        await engine.changed()
    health.set(serving=False)


async def _check(engine: Engine, stall_s: float) -> None:
    while engine.failure is None:
        await asyncio.sleep(stall_s / _CHECKS_PER_STALL)
        engine.check_progress(stall_s)


def _checked_folder(config: WorkerConfig) -> ModelFolder:
    check_installation()
    return open_model(config.home, config.model, config.variant)


def load_decoder(folder: ModelFolder, config: WorkerConfig) -> Decoder:
    """Load tokenizer and graph; takes about a second and blocks. Raises ModelError, ConfigError."""
    codec = ModelTokenizer(read_tokenizer(folder.path / "tokenizer.json"), read_tokenizer_config(folder.path))
    runtime = OnnxDecoder(folder, config.slots, config.session)
    info = _info(folder, runtime.slot_tokens, runtime.provider)
    search = folder.config.search
    unset = SamplingOptions(temperature=search.temperature, top_p=search.top_p)
    eos_ids = folder.config.model.eos_ids
    guides = GuideMaker(codec, eos_ids, runtime.vocabulary_size) if eos_ids else None
    intake = Intake(codec=codec, context_tokens=runtime.slot_tokens, unset=unset, guides=guides)
    return _decoder(runtime, intake, eos_ids, info)


def fake_decoder(config: WorkerConfig) -> Decoder:
    """The model without weights, as a worker serves it."""
    verify_tokens = VERIFY_TOKENS if config.slots.speculation else 0
    runtime = FakeDecoder(config.slots.slots, config.slots.slot_tokens, verify_tokens=verify_tokens)
    info = model_info(ModelKind.GENERATE, runtime.slot_tokens, runtime.vocabulary_size)
    info.model, info.revision, info.execution_provider = "fake", "1", runtime.provider
    eos_ids, codec = frozenset({EOS_ID}), ByteCodec()
    guides = GuideMaker(codec, eos_ids, runtime.vocabulary_size)
    intake = Intake(codec=codec, context_tokens=runtime.slot_tokens, guides=guides)
    return _decoder(runtime, intake, eos_ids, info)


def _decoder(
    runtime: DecoderRuntime, intake: Intake, eos_ids: frozenset[int], info: pb.GetModelInfoResponse
) -> Decoder:
    info.max_choices = MAX_CHOICES
    info.supports_response_format = info.supports_tools = intake.guides is not None
    return Decoder(runtime=runtime, intake=intake, eos_ids=eos_ids, info=info)


def _info(folder: ModelFolder, context_tokens: int, provider: str) -> pb.GetModelInfoResponse:
    info = model_info(folder.kind, context_tokens, folder.config.model.vocab_size)
    info.model, info.revision, info.licence = folder.name, folder.revision, folder.licence
    info.execution_provider, info.variant = provider, folder.variant
    return info
