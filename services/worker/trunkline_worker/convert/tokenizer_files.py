"""Writes tokenizer.json and tokenizer_config.json in the layout every runtime reads."""

from __future__ import annotations

from pathlib import Path

import msgspec
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.gguf_weights import GgufTokenizer
from trunkline_worker.tokenizer import TokenizerConfig, read_tokenizer

_PRE_TOKENIZERS = ("smollm",)
"""GGUF `tokenizer.ggml.pre` values whose splitting is rebuilt exactly: single digits, then GPT-2's pattern."""


def write_decoder_tokenizer(source: GgufTokenizer, context_tokens: int, folder: Path) -> None:
    """Rebuild a byte-level BPE tokenizer from its GGUF form. Raises ModelError for an unknown splitting rule."""
    if source.pre_tokenizer not in _PRE_TOKENIZERS:
        raise ModelError(
            f"the GGUF tokenizer splits by {source.pre_tokenizer!r}; the converter knows {_PRE_TOKENIZERS}"
        )
    vocabulary = {token: index for index, token in enumerate(source.tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(source.merges)))
    digits = pre_tokenizers.Digits(individual_digits=True)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    control = [AddedToken(source.tokens[index], special=True, normalized=False) for index in source.control_ids]
    tokenizer.add_special_tokens(control)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = TokenizerConfig(
        tokenizer_class="GPT2Tokenizer",
        bos_token=source.tokens[source.bos_id],
        eos_token=source.tokens[source.eos_id],
        unk_token=source.tokens[source.unknown_id],
        pad_token=source.tokens[source.padding_id],
        model_max_length=context_tokens,
        chat_template=source.chat_template,
    )
    (folder / "tokenizer_config.json").write_bytes(msgspec.json.encode(config))


def write_encoder_tokenizer(source: Path, context_tokens: int, folder: Path) -> None:
    """Copy an encoder's tokenizer without its fixed padding and truncation, which the worker does itself."""
    tokenizer = read_tokenizer(source / "tokenizer.json")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = TokenizerConfig(tokenizer_class="BertTokenizer", model_max_length=context_tokens)
    (folder / "tokenizer_config.json").write_bytes(msgspec.json.encode(config))
