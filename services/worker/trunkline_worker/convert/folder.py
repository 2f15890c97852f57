"""Converts an unpacked source into a complete model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from trunkline_kit.errors import ModelError
from trunkline_worker.catalogue import CatalogueModel, ModelKind
from trunkline_worker.convert.classifier import convert_classifier, is_classifier_folder
from trunkline_worker.convert.decoder import build_decoder
from trunkline_worker.convert.encoder import BertWeights, build_encoder
from trunkline_worker.convert.lora import AdaptedWeights, Adapter
from trunkline_worker.convert.origin import Origin
from trunkline_worker.convert.precision import Precision
from trunkline_worker.convert.sources import DecoderSource, Manners, open_source
from trunkline_worker.convert.tokenizer_files import write_encoder_tokenizer
from trunkline_worker.convert.weights import DecoderShape, DecoderWeights
from trunkline_worker.genai_config import (
    DecoderConfig,
    EncoderConfig,
    GenaiConfig,
    ModelConfig,
    SearchConfig,
    write_genai_config,
)
from trunkline_worker.manifest import CONVERTER_VERSION, Manifest, records_of, write_manifest


def convert(model: CatalogueModel, source: Path, precision: Precision, folder: Path) -> Manifest:
    """Write graph, tokenizer, description and, last, the manifest of `model` into the empty `folder`.

    `source` is the GGUF file of a decoder or the model folder of an encoder. Takes seconds and about twice the
    float32 size in memory. Raises ModelError for a source that cannot be converted, OSError when the disk is full.
    """
    if model.kind is ModelKind.GENERATE:
        search = SearchConfig(temperature=model.temperature, top_p=model.top_p)
        _convert_decoder(open_source(source), precision, folder, search)
    else:
        _convert_encoder(model, source, precision, folder)
    manifest = Manifest(
        model=model.name,
        kind=model.kind,
        variant=precision,
        licence=model.licence,
        package=model.source.package,
        version=model.source.version,
        wheel_sha256=model.source.sha256,
        converter_version=CONVERTER_VERSION,
        files=records_of(folder),
    )
    write_manifest(manifest, folder)
    return manifest


def convert_own(origin: Origin, precision: Precision, folder: Path) -> Manifest:
    """The same for a decoder or a classifier that is not of the catalogue. Raises ModelError, OSError."""
    kind = ModelKind.CLASSIFY if is_classifier_folder(origin.source) else ModelKind.GENERATE
    if kind is ModelKind.GENERATE:
        _convert_own_decoder(origin, precision, folder)
    elif origin.adapters:
        raise ModelError(f"{origin.source.name} is a classifier; adapters are merged into models that generate")
    else:
        convert_classifier(origin.source, precision, folder)
    manifest = Manifest(
        model=origin.name,
        kind=kind,
        variant=precision,
        licence=origin.licence,
        converter_version=CONVERTER_VERSION,
        files=records_of(folder),
        source=origin.source.name,
        source_sha256=origin.sha256,
        adapters=tuple(path.name for path in origin.adapters),
    )
    write_manifest(manifest, folder)
    return manifest


def _convert_own_decoder(origin: Origin, precision: Precision, folder: Path) -> None:
    source = open_source(origin.source)
    manners = source.manners()
    search = SearchConfig(
        temperature=manners.temperature if origin.temperature is None else origin.temperature,
        top_p=manners.top_p if origin.top_p is None else origin.top_p,
    )
    _convert_decoder(source, precision, folder, search, origin.adapters)


def _convert_decoder(
    source: DecoderSource, precision: Precision, folder: Path, search: SearchConfig, adapters: Sequence[Path] = ()
) -> None:
    weights: DecoderWeights = source.weights
    if adapters:
        weights = AdaptedWeights(weights, tuple(Adapter(path) for path in adapters))
    shape = weights.shape()
    # The tokenizer first: it is what most often cannot be had, and takes no time.
    source.write_tokenizer(folder)
    build_decoder(weights, precision).save(folder)
    search = structs.replace(search, max_length=shape.context_tokens)
    write_genai_config(GenaiConfig(model=_decoder_description(shape, source.manners()), search=search), folder)


def _decoder_description(shape: DecoderShape, manners: Manners) -> ModelConfig:
    ends = manners.eos_ids
    return ModelConfig(
        type=shape.family,
        context_length=shape.context_tokens,
        vocab_size=shape.vocabulary,
        bos_token_id=manners.bos_id,
        eos_token_id=ends[0] if len(ends) == 1 else ends,
        pad_token_id=manners.padding_id,
        decoder=DecoderConfig(
            head_size=shape.head_size,
            hidden_size=shape.hidden,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            num_hidden_layers=shape.layers,
        ),
    )


def _convert_encoder(model: CatalogueModel, source: Path, precision: Precision, folder: Path) -> None:
    weights = BertWeights(source)
    build_encoder(weights, precision).save(folder)
    write_encoder_tokenizer(source, model.max_tokens, folder)
    description = ModelConfig(
        type="bert",
        context_length=model.max_tokens,
        vocab_size=weights.config.vocab_size,
        pad_token_id=weights.config.pad_token_id,
        encoder=EncoderConfig(hidden_size=weights.config.hidden_size),
    )
    write_genai_config(GenaiConfig(model=description), folder)
