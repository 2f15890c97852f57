"""Writes tokenizer.json and tokenizer_config.json in the layout every runtime reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.gguf_weights import GgufTokenizer, TokenIds
from trunkline_worker.tokenizer import TokenizerConfig, read_tokenizer

FILE = "tokenizer.json"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3_PATTERN = _WORDS + r"|\p{N}{1,3}" + _REST
"""Source: tokenizer.json of Llama 3 (Meta); llama.cpp has it as `llama-bpe`."""
_QWEN2_PATTERN = _WORDS + r"|\p{N}" + _REST
"""Source: tokenizer.json of Qwen2 (Alibaba Cloud): as Llama 3's, but every digit by itself."""
_GPT2, _SMOLLM = ("gpt-2", "gpt2"), ("smollm",)
_LLAMA3, _QWEN2 = ("llama-bpe", "llama3", "llama-v3"), ("qwen2",)
SPLITS = (*_GPT2, *_SMOLLM, *_LLAMA3, *_QWEN2)
"""GGUF `tokenizer.ggml.pre` values whose splitting is rebuilt exactly. Source: llama.cpp src/llama-vocab.cpp."""


class _Token(msgspec.Struct, frozen=True):
    """A control token as tokenizer_config.json may spell it."""

    content: str = ""


class _Template(msgspec.Struct, frozen=True):
    name: str
    template: str


class _HfTokenizerConfig(msgspec.Struct, frozen=True, kw_only=True):
    bos_token: str | _Token | None = None
    eos_token: str | _Token | None = None
    unk_token: str | _Token | None = None
    pad_token: str | _Token | None = None
    tokenizer_class: str | None = None
    add_prefix_space: bool | None = None
    chat_template: str | list[_Template] | None = None


def write_decoder_tokenizer(source: GgufTokenizer, ids: TokenIds, context_tokens: int, folder: Path) -> None:
    """Rebuild a byte-level BPE tokenizer from its GGUF form. Raises ModelError for an unknown splitting rule."""
    if source.pre_tokenizer not in SPLITS:
        raise ModelError(
            f"the GGUF tokenizer splits by {source.pre_tokenizer!r}; the converter knows {', '.join(SPLITS)},"
            f" or takes the model's {FILE} from beside the GGUF file"
        )
    vocabulary = {token: index for index, token in enumerate(source.tokens)}
    # Llama 3's looks a whole word up before it merges; others must leave the option out, not turn it off.
    options = {"ignore_merges": True} if source.pre_tokenizer in _LLAMA3 else {}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(source.merges), **options))
    if source.pre_tokenizer in _QWEN2:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _splitter(source.pre_tokenizer)
    tokenizer.decoder = decoders.ByteLevel()
    control = [AddedToken(source.tokens[index], special=True, normalized=False) for index in source.control_ids]
    tokenizer.add_special_tokens(control)
    if source.user_ids:
        tokenizer.add_tokens([AddedToken(source.tokens[index], normalized=False) for index in source.user_ids])
    tokenizer.save(str(folder / FILE))
    write_token_config(ids, "GPT2Tokenizer", context_tokens, folder)


def write_token_config(ids: TokenIds, tokenizer_class: str, context_tokens: int, folder: Path) -> None:
    """tokenizer_config.json of a GGUF file's tokenizer."""
    config = TokenizerConfig(
        tokenizer_class=tokenizer_class,
        bos_token=ids.text(ids.bos_id),
        eos_token=ids.text(ids.eos_ids[0]) if ids.eos_ids else None,
        unk_token=ids.text(ids.unknown_id),
        pad_token=ids.text(ids.padding_id),
        model_max_length=context_tokens,
        chat_template=ids.chat_template,
    )
    (folder / "tokenizer_config.json").write_bytes(msgspec.json.encode(config))


def copy_tokenizer(source: Path, vocabulary: int, folder: Path) -> None:
    """A tokenizer.json as it is, but for padding and truncation, which are not the worker's.

    Raises ModelError for one that is missing or broken, or has tokens that the model's `vocabulary` has not.
    """
    tokenizer = read_tokenizer(source / FILE)
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= vocabulary:
        raise ModelError(
            f"{source / FILE} has a token {largest}, but the model knows {vocabulary}; it is another model's"
        )
    if tokenizer.padding is None and tokenizer.truncation is None:
        (folder / FILE).write_bytes((source / FILE).read_bytes())
        return
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / FILE))


def hf_token_config(source: Path, context_tokens: int) -> TokenizerConfig:
    """A published tokenizer_config.json in our terms, and the template in chat_template.jinja. Raises ModelError."""
    path, template = source / "tokenizer_config.json", source / "chat_template.jinja"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_HfTokenizerConfig) if path.is_file() else None
        said = template.read_text(encoding="utf-8") if template.is_file() else None
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ModelError(f"the tokenizer's files in {source} cannot be used: {error}") from error
    found = found or _HfTokenizerConfig()
    return TokenizerConfig(
        tokenizer_class=found.tokenizer_class or "PreTrainedTokenizerFast",
        bos_token=_content(found.bos_token),
        eos_token=_content(found.eos_token),
        unk_token=_content(found.unk_token),
        pad_token=_content(found.pad_token),
        model_max_length=context_tokens,
        add_prefix_space=bool(found.add_prefix_space),
        chat_template=said if said is not None else _template(found.chat_template),
    )


def write_encoder_tokenizer(source: Path, context_tokens: int, folder: Path) -> None:
    """Copy an encoder's tokenizer without its fixed padding and truncation, which the worker does itself."""
    tokenizer = read_tokenizer(source / FILE)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / FILE))
    config = TokenizerConfig(tokenizer_class="BertTokenizer", model_max_length=context_tokens)
    (folder / "tokenizer_config.json").write_bytes(msgspec.json.encode(config))


def _splitter(name: str) -> pre_tokenizers.PreTokenizer:
    """How text is cut before merging."""
    if name in _GPT2:
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if name in _SMOLLM:
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    pattern = Regex(_LLAMA3_PATTERN if name in _LLAMA3 else _QWEN2_PATTERN)
    words = pre_tokenizers.Split(pattern, behavior="isolated")
    return pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _content(token: str | _Token | None) -> str | None:
    return token.content if isinstance(token, _Token) else token


def _template(found: str | list[_Template] | None) -> str | None:
    """The template, or of several the one called `default`."""
    if not isinstance(found, list):
        return found
    named: Mapping[str, str] = {one.name: one.template for one in found}
    return named.get("default")
