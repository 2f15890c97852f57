"""A model's tokens and manners, out of whichever files say them."""

import json
import shutil

import pytest
from gguf import GGUFWriter

from trunkline_kit.errors import ModelError
from trunkline_testkit.tiny_decoders import write_tiny_decoder, write_tiny_gguf
from trunkline_worker.convert.gguf_weights import GgufWeights, TokenIds
from trunkline_worker.convert.sources import Manners, open_source
from trunkline_worker.convert.tokenizer_files import SPLITS, copy_tokenizer, hf_token_config, write_decoder_tokenizer
from trunkline_worker.tokenizer import read_tokenizer, read_tokenizer_config

CONFIG = {
    "model_type": "qwen2",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 300,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
    "eos_token_id": 2,
}


@pytest.fixture
def hf_folder(tiny_gguf, tmp_path):
    """A folder as it is published, with the tiny model's tokenizer."""
    folder = write_tiny_decoder(CONFIG, 1, tmp_path / "source")
    weights = GgufWeights(tiny_gguf)
    write_decoder_tokenizer(weights.tokenizer(), weights.token_ids(), 512, folder)
    return folder


def gguf(path, tokens=("<s>", "</s>", "<|eot_id|>", "a"), kinds=(3, 3, 3, 1), **numbers):
    """A file that says something of its tokens and nothing else."""
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(list(tokens))
    writer.add_token_types(list(kinds))
    writer.add_context_length(64)
    for name, value in numbers.items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_says_it_all(tiny_gguf, tmp_path):
    source = open_source(tiny_gguf)
    assert source.manners() == Manners(bos_id=1, eos_ids=(2,), padding_id=2)
    source.write_tokenizer(tmp_path)
    assert read_tokenizer(tmp_path / "tokenizer.json").encode("<|im_end|>").ids == [2]


def test_an_answer_ends_with_whatever_ends_a_turn(tmp_path):
    path = gguf(tmp_path / "x.gguf", bos=0, eos=1)
    assert GgufWeights(path).token_ids() == TokenIds(
        tokens=("<s>", "</s>", "<|eot_id|>", "a"), bos_id=0, eos_ids=(1, 2)
    )
    assert GgufWeights(gguf(tmp_path / "y.gguf", eos=2, eot=1)).token_ids().eos_ids == (2, 1)
    assert TokenIds(tokens=("a",)).text(5) is None


def test_another_tokenizer_than_bpe_cannot_be_rebuilt(tmp_path):
    weights = GgufWeights(gguf(tmp_path / "x.gguf", bos=0, eos=1))
    with pytest.raises(ModelError, match=r"tokenizer is 'llama'.*put the model's tokenizer\.json beside the file"):
        weights.tokenizer()


def test_the_tokenizer_beside_a_gguf_file(hf_folder, tmp_path):
    path = write_tiny_gguf(CONFIG | {"rms_norm_eps": 1e-6, "rope_theta": 1e4}, 1, hf_folder / "x.gguf")
    open_source(path).write_tokenizer(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == (hf_folder / "tokenizer.json").read_bytes()
    assert read_tokenizer_config(tmp_path).model_max_length == 64
    (hf_folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"does not say 'tokenizer\.ggml\.model'"):
        open_source(path).write_tokenizer(tmp_path)


def test_a_folder_says_it_in_several_files(hf_folder):
    assert open_source(hf_folder).manners() == Manners(eos_ids=(2,))
    said = {"eos_token_id": [5, 7], "bos_token_id": 4, "pad_token_id": 6, "temperature": 0.6, "top_p": 0.9}
    (hf_folder / "generation_config.json").write_text(json.dumps(said))
    manners = open_source(hf_folder).manners()
    assert manners == Manners(bos_id=4, eos_ids=(5, 7), padding_id=6, temperature=0.6, top_p=0.9)
    (hf_folder / "generation_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"generation_config\.json cannot be used"):
        open_source(hf_folder).manners()


def test_the_end_of_text_may_stand_in_the_tokenizers_config_only(hf_folder):
    config = {name: value for name, value in CONFIG.items() if name != "eos_token_id"}
    (hf_folder / "config.json").write_text(json.dumps(config))
    assert open_source(hf_folder).manners().eos_ids == (2,)
    (hf_folder / "tokenizer_config.json").unlink()
    assert open_source(hf_folder).manners().eos_ids == ()


def test_a_folders_tokenizer_is_copied(hf_folder, tmp_path):
    open_source(hf_folder).write_tokenizer(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == (hf_folder / "tokenizer.json").read_bytes()
    assert read_tokenizer_config(tmp_path).chat_template is not None
    (hf_folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer\.json"):
        open_source(hf_folder).write_tokenizer(tmp_path)


def test_padding_and_cutting_are_not_copied(tiny_bert, tmp_path):
    copy_tokenizer(tiny_bert, 64, tmp_path)
    tokenizer = read_tokenizer(tmp_path / "tokenizer.json")
    assert (tokenizer.padding, tokenizer.truncation) == (None, None)
    with pytest.raises(ModelError, match=r"has a token \d+, but the model knows 8; it is another model's"):
        copy_tokenizer(tiny_bert, 8, tmp_path)


def test_templates_wherever_they_are(tmp_path):
    def config(**said):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
        return hf_token_config(tmp_path, 64)

    found = config(bos_token={"content": "<s>", "lstrip": False}, eos_token="</s>", chat_template="A")
    assert (found.bos_token, found.eos_token, found.chat_template) == ("<s>", "</s>", "A")
    several = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
    assert config(chat_template=several).chat_template == "D"
    (tmp_path / "chat_template.jinja").write_text("J")
    assert config(chat_template="A").chat_template == "J"
    (tmp_path / "tokenizer_config.json").write_text("[")
    with pytest.raises(ModelError, match="cannot be used"):
        hf_token_config(tmp_path, 64)


def split_by(tiny_gguf, name, folder, **changes):
    import msgspec

    folder.mkdir(exist_ok=True)
    source = msgspec.structs.replace(GgufWeights(tiny_gguf).tokenizer(), pre_tokenizer=name, **changes)
    write_decoder_tokenizer(source, TokenIds(), 512, folder)
    return read_tokenizer(folder / "tokenizer.json")


@pytest.mark.parametrize(
    ("name", "pieces"),
    [
        ("gpt-2", ["He", "'s", "Ġ12345", "!?", "Ċ", "Ġok"]),
        ("smollm", ["He", "'s", "Ġ", "1", "2", "3", "4", "5", "!?", "Ċ", "Ġok"]),
        ("llama-bpe", ["He", "'s", "Ġ", "123", "45", "!?Ċ", "Ġok"]),
        ("qwen2", ["He", "'s", "Ġ", "1", "2", "3", "4", "5", "!?Ċ", "Ġok"]),
    ],
)
def test_text_is_split_as_the_model_learned_it(tiny_gguf, tmp_path, name, pieces):
    tokenizer = split_by(tiny_gguf, name, tmp_path)
    assert [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str("He's 12345!?\n ok")] == pieces


@pytest.mark.parametrize("name", SPLITS)
def test_text_comes_back_whatever_the_split(tiny_gguf, tmp_path, name):
    tokenizer = split_by(tiny_gguf, name, tmp_path)
    text = "It's 1999, don't PANIC!!  \n\n\t tabs, ünïcode, 日本語 🙂 \r\n end "
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_only_qwen2_composes_letters(tiny_gguf, tmp_path):
    for name in SPLITS:
        tokenizer = split_by(tiny_gguf, name, tmp_path)
        composed = tokenizer.encode("e\u0301").ids == tokenizer.encode("\u00e9").ids
        assert composed == (name == "qwen2")


def test_user_tokens_are_whole_and_are_text(tiny_gguf, tmp_path):
    tokens = (*GgufWeights(tiny_gguf).tokenizer().tokens, "<think>")
    tokenizer = split_by(tiny_gguf, "qwen2", tmp_path, tokens=tokens, user_ids=(len(tokens) - 1,))
    ids = tokenizer.encode("a<think>b").ids
    assert len(ids) == 3
    assert tokenizer.decode(ids) == "a<think>b"


def test_neither_file_nor_folder(tmp_path, tiny_gguf):
    with pytest.raises(ModelError, match="does not exist; give a GGUF file, or a folder"):
        open_source(tmp_path / "nothing")
    shutil.copy(tiny_gguf, tmp_path / "model.bin")
    assert open_source(tmp_path / "model.bin").weights.shape().layers == 2
