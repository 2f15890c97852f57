"""Converts an unpacked source into a complete model folder."""

from __future__ import annotations

from pathlib import Path

from trunkline_worker.catalogue import CatalogueModel, ModelKind
from trunkline_worker.convert.decoder import build_decoder
from trunkline_worker.convert.encoder import BertWeights, build_encoder
from trunkline_worker.convert.gguf_weights import DecoderShape, GgufTokenizer, GgufWeights
from trunkline_worker.convert.precision import Precision
from trunkline_worker.convert.tokenizer_files import write_decoder_tokenizer, write_encoder_tokenizer
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
        _convert_decoder(model, source, precision, folder)
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


def _convert_decoder(model: CatalogueModel, source: Path, precision: Precision, folder: Path) -> None:
    weights = GgufWeights(source)
    shape, tokenizer = weights.shape(), weights.tokenizer()
    build_decoder(weights, precision).save(folder)
    write_decoder_tokenizer(tokenizer, shape.context_tokens, folder)
    search = SearchConfig(max_length=shape.context_tokens, temperature=model.temperature, top_p=model.top_p)
    write_genai_config(GenaiConfig(model=_decoder_description(shape, tokenizer), search=search), folder)


def _decoder_description(shape: DecoderShape, tokenizer: GgufTokenizer) -> ModelConfig:
    return ModelConfig(
        type="llama",
        context_length=shape.context_tokens,
        vocab_size=shape.vocabulary,
        bos_token_id=tokenizer.bos_id,
        eos_token_id=tokenizer.eos_id,
        pad_token_id=tokenizer.padding_id,
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
